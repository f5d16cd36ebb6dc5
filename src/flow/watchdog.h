// Deadlines of one worker. Thousands of flows have one each, nearly none is ever reached: so there
// is one timer for all, and moving a deadline is an assignment.
#pragma once

#include <boost/intrusive/list.hpp>

#include "base/asio.h"
#include "platform/descriptor.h"

namespace hairpin {

/// Something with a deadline. Base class; the watchdog does not own it, and it unlinks itself.
class Watched : public boost::intrusive::list_base_hook<
                    boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Watched() = default;
  Watched() = default;
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  /// Read at each sweep: may have moved since.
  virtual Clock::time_point deadline() const = 0;
  /// May destroy the object, and others.
  virtual void expire() = 0;
};

/// For one thread. Sleeps as long as no deadline is near: an idle program is not woken.
class Watchdog {
 public:
  explicit Watchdog(const Executor& executor) : timer_(executor) {}

  void watch(Watched& entry);
  /// Must be called when the deadline of a watched entry has moved to an earlier time.
  void hasten(const Watched& entry);
  void stop();

 private:
  void arm(Clock::time_point at);
  void sweep();

  Timer timer_;
  Clock::time_point armed_ = Clock::time_point::max();
  bool stopped_ = false;
  boost::intrusive::list<Watched, boost::intrusive::constant_time_size<false>> entries_;
};

/// Cancels the pending wait of a descriptor when time is up: the waiting coroutine goes on with
/// operation_aborted, and asks `expired()`.
class Deadline final : public Watched {
 public:
  Deadline(Watchdog& watchdog, Descriptor& descriptor, Clock::duration after)
      : descriptor_(&descriptor), at_(Clock::now() + after) {
    watchdog.watch(*this);
  }
  bool expired() const { return expired_; }

 private:
  Clock::time_point deadline() const override { return at_; }
  void expire() override {
    expired_ = true;
    boost::system::error_code ignored;
    descriptor_->cancel(ignored);
  }

  Descriptor* descriptor_;
  Clock::time_point at_;
  bool expired_ = false;
};

}  // namespace hairpin
