// The TUN link: what must exist in a network namespace before packets can flow.
//
//   outer      the TUN that applications are routed to; has the configured addresses
//   inner      a second TUN, "NAME-in", on which the translated packets come back to the kernel
//   listeners  transparent sockets; one TCP listener per worker and family, one UDP socket per
//              family and worker (their number a power of two)
//   nftables   table "hairpin-NAME": packets from the inner device go to the listeners (nft/plan.h)
//   rules      packets with our mark go to this host when they come from the inner device, and to
//              the inner device when they come from a listener
//
// What the kernel does not remove when the process dies (two rules per family) does nothing without
// the rest, and is removed at the next start.
#pragma once

#include "stack/link.h"

namespace hairpin::stack {

/// Sets all of it up in the network namespace of the calling thread, or nothing of it.
Result<Link> open_tun_link(const LinkOptions& options);

/// The name of the inner device.
std::string inner_name(const std::string& outer);

}  // namespace hairpin::stack
