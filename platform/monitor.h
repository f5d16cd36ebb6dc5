// Tells that something about the network has changed: interfaces, addresses, routes, rules
// (rtnetlink(7)) or nftables tables.
//
// What has changed is not told, and need not be known: whoever cares looks at how things are now.
// That also makes a flood of changes cheap. Messages are few bytes of queue; when more come than it
// holds the kernel drops the rest and says so once, which tells the same.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

class Monitor {
 public:
  /// Of the network namespace of the calling thread.
  static Result<Monitor> open();

  /// Readable when something has changed.
  int routes() const { return routes_.get(); }
  /// Nothing (-1) where the kernel has no netfilter, and so no tables.
  int tables() const { return tables_.get(); }

  /// Whether tables are listened to; at first they are. A change of ours to a set is told element
  /// by element, and each costs the kernel more to tell than to make: 200,000 of them 3 s.
  void hear_tables(bool wanted);

  /// Forgets what one of these sockets has to say.
  static void drain(int socket);

 private:
  Fd routes_;
  Fd tables_;
};

/// The sum of all times that this machine was asleep since it was started (CLOCK_BOOTTIME against
/// CLOCK_MONOTONIC), in milliseconds.
std::int64_t time_asleep();

}  // namespace hairpin::platform
