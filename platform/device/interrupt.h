// Ends a wait from outside: given to any number of calls, triggered by any thread (or a signal
// handler), it ends those that wait and all that follow, until it is reset.
#pragma once

#include <memory>

#include "base/result.h"

namespace hairpin::device {

class Event;

class Interrupt {
 public:
  static Result<Interrupt> create();
  Interrupt(Interrupt&&) noexcept;
  Interrupt& operator=(Interrupt&&) noexcept;
  ~Interrupt();

  void trigger();
  void reset();
  bool triggered() const;

  /// What a wait looks at.
  const Event& event() const { return *event_; }

 private:
  explicit Interrupt(std::unique_ptr<Event> event);
  std::unique_ptr<Event> event_;
};

}  // namespace hairpin::device
