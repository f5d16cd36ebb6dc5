// The door: where clients whose connections have been accepted, by the kernel or in user space,
// come to the dispatcher. One per worker and link.
#pragma once

#include <optional>

#include "dispatch/capture.h"
#include "dispatch/dispatcher.h"
#include "dispatch/prepared.h"
#include "flow/stream.h"
#include "flow/worker.h"

namespace hairpin::dispatch {

class Admission {
 public:
  /// All must outlive it.
  Admission(Worker& worker, Dispatcher& dispatcher, const Capture& capture,
            PreparedConnections& prepared, Clock::duration idle)
      : worker_(worker),
        dispatcher_(dispatcher),
        capture_(capture),
        prepared_(prepared),
        idle_(idle) {}

  /// For connections that are admitted from now on.
  void set_idle(Clock::duration idle) { idle_ = idle; }
  Worker& worker() { return worker_; }
  const Capture& capture() const { return capture_; }
  PreparedConnections& prepared() { return prepared_; }

  /// `prepared`: what has been connected for it.
  void admit(DetachedStream client, const Flow& flow, std::optional<Prepared> prepared);
  /// Looks whether anything has been.
  void admit(DetachedStream client, const Flow& flow);

 private:
  Worker& worker_;
  Dispatcher& dispatcher_;
  const Capture& capture_;
  PreparedConnections& prepared_;
  Clock::duration idle_;
};

}  // namespace hairpin::dispatch
