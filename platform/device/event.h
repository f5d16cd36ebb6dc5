// A flag that poll(2) can wait for together with a device. POSIX; not installed.
#pragma once

#include <atomic>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::device {

class Event {
 public:
  /// A new one is not set.
  static Result<Fd> open();
  explicit Event(Fd fd) : fd_(std::move(fd)) {}

  /// Both may be called from any thread, and `set` from a signal handler.
  void set();
  void clear();
  bool is_set() const { return set_.load(std::memory_order_acquire); }
  /// Readable while the event is set.
  int descriptor() const { return fd_.get(); }

 private:
  Fd fd_;
  std::atomic<bool> set_ = false;
};

}  // namespace hairpin::device
