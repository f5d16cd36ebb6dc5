// What the kernel's own stack has thrown away in one network namespace.
#pragma once

#include <cstdint>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// Stays with the namespace of the thread that opened it, which need not be entered again.
class IpStatistics {
 public:
  static Result<IpStatistics> open();
  /// From descriptors that another process has opened: `ip4`, then `ip6`, which may be empty.
  IpStatistics(Fd ip4, Fd ip6) : ip4_(std::move(ip4)), ip6_(std::move(ip6)) {}
  IpStatistics() = default;

  /// Packets with a header, an address, a length or a checksum that is wrong.
  std::uint64_t malformed() const;

  const Fd& ip4() const { return ip4_; }
  const Fd& ip6() const { return ip6_; }

 private:
  Fd ip4_;  ///< /proc/net/snmp
  Fd ip6_;  ///< /proc/net/snmp6
};

}  // namespace hairpin::platform
