// The interface that applications are routed to: ours, or one that was handed over.
#pragma once

#include "stack/link.h"

namespace hairpin::stack {

/// Packets in the queue of an interface. A burst of one worker's turn must fit: windows of several
/// flows, read in one go.
inline constexpr unsigned kQueueLength = 4000;

/// The MTU in force, after the default.
unsigned mtu_of(const config::TunInbound& inbound);

Result<platform::Tun> open_outer(const LinkOptions& options, unsigned queues);

/// Gives a device of ours its addresses and brings it up, and returns them. The addresses of a
/// device that was handed over are its maker's business: they are only read.
Result<std::vector<IpAddr>> settle_outer(const LinkOptions& options, const platform::Tun& outer);

}  // namespace hairpin::stack
