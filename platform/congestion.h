// Which congestion control an outbound TCP connection uses.
//
// One that paces, as BBR, arms a timer for almost each packet. On a path through the Internet that
// is what it is good for. On one that does not leave the host, or the rack, there is no queue to
// protect, and the timers were measured to cost two thirds of hairpin's processor time. So where
// the system's default paces, a connection begins with cubic, and takes the default as soon as the
// handshake has shown that the other end is not near. (In this order, because pacing that has begun
// cannot be ended: sk_pacing_status in the kernel's net/ipv4/tcp_bbr.c.)
#pragma once

#include <chrono>
#include <string>
#include <utility>

namespace hairpin::platform {

/// A round trip of at most this is near.
inline constexpr std::chrono::microseconds kNear{500};

class Congestion {
 public:
  /// Leaves every socket as it is.
  Congestion() = default;
  /// For sockets of the calling thread's network namespace. Leaves them as they are when the
  /// default does not pace, or cubic is not there or not allowed.
  static Congestion of_system();

  /// Before connect(2).
  void begin(int socket) const;
  /// When connected.
  void settle(int socket) const;

 private:
  explicit Congestion(std::string far) : far_(std::move(far)) {}

  std::string far_;  ///< The system's default; empty: nothing to choose.
};

}  // namespace hairpin::platform
