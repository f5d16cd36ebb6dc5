// The sockets on which the kernel's stack terminates what a link captures.
#pragma once

#include "nft/plan.h"
#include "platform/sockets.h"
#include "stack/link.h"

namespace hairpin::stack {

/// One family's listeners for `workers` workers, in the namespace of the calling thread. Without
/// `takes_udp` for TCP only.
Result<FamilyListeners> open_listeners(const platform::TransparentBinding& binding,
                                       unsigned workers, bool takes_udp = true);

/// Listeners for redirected TCP, one per worker, on one port.
Result<FamilyListeners> open_redirected(Family family, unsigned workers);

/// Their ports, as the nftables rules need them.
Result<nft::Listeners> ports_of(const FamilyListeners& sockets);

bool has_family(const std::vector<IpAddr>& addresses, Family family);

}  // namespace hairpin::stack
