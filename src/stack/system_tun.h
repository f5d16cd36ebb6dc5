// The system stack over TUN: what must exist in a network namespace before packets can flow.
//
//   outer     the TUN that applications are routed to; has the configured addresses
//   inner     a second TUN, "NAME-in", on which the translated packets come back to the kernel
//   listeners transparent sockets; one TCP listener per worker and family, one UDP socket per
//   family
//             and worker (their number a power of two)
//   nftables  table "hairpin-NAME": packets from the inner device go to the listeners (nft/plan.h)
//   rules     packets with our mark go to this host when they come from the inner device, and to
//   the
//             inner device when they come from a listener
//
// All of it is bound to descriptors, devices or our protocol number: what the kernel does not
// remove when the process dies (two rules per family) does nothing without the rest, and is removed
// at the next start.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"
#include "config/config.h"
#include "platform/routes.h"
#include "platform/tun.h"

namespace hairpin::stack {

/// The sockets of one family.
struct FamilyListeners {
  Family family = Family::v4;
  std::vector<Fd> tcp;  ///< One per worker, on one port.
  std::vector<Fd> udp;  ///< A power of two; a client's source port chooses among them.
};

struct SystemTunOptions {
  config::TunInbound inbound;
  unsigned workers = 1;
  Mark own_mark;      ///< Of our outbound sockets in the same namespace; 0 if they are elsewhere.
  int adopt_fd = -1;  ///< A TUN that somebody else made: see platform::adopt_tun.
};

/// Owns the devices, sockets and the nftables table. The rules outlive it: close_rules.
struct SystemTun {
  platform::Tun outer;
  platform::Tun inner;
  std::vector<FamilyListeners> listeners;
  std::vector<IpAddr> addresses;  ///< Of the outer device.
  Fd nft_owner;
  std::vector<platform::Rule> rules;
};

/// Sets all of it up in the network namespace of the calling thread, or nothing of it.
Result<SystemTun> open_system_tun(const SystemTunOptions& options);

/// Removes the rules. Devices, routes, sockets and the table go with their descriptors.
void close_rules(const std::vector<platform::Rule>& rules);

}  // namespace hairpin::stack
