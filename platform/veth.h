// A pair of virtual Ethernet devices between two network namespaces: what is sent on one end
// arrives at the other.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

using MacAddress = std::array<std::uint8_t, 6>;

struct VethOptions {
  std::string outer_name;     ///< May be a pattern ("tun%d"), of which the kernel makes a name.
  const Fd& outer_namespace;  ///< Where the outer end goes.
  std::string inner_name;     ///< Of the end in the calling thread's namespace.
  MacAddress address{};       ///< Of both ends.
};

struct Veth {
  IfIndex outer;  ///< In the outer namespace.
  IfIndex inner;
};

/// Makes a pair whose ends have one address and do not ask for neighbours (IFF_NOARP): a device
/// without ARP sends all frames to its own address, which is then the other end's too. Both ends
/// are down, and go together. Errors: EEXIST (the name is taken), EPERM (CAP_NET_ADMIN in both
/// namespaces), EOPNOTSUPP (no veth driver).
Result<Veth> create_veth(const VethOptions& options);

/// Waits until an end that is up can send. The kernel gets it ready some time after the other end
/// has been brought up, and drops what is sent before.
Result<> wait_for_carrier(IfIndex interface);

}  // namespace hairpin::platform
