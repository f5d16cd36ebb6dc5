// What our nftables table has to hold, from what a link needs. Pure.
#pragma once

#include <string>
#include <vector>

#include "nft/ruleset.h"

namespace hairpin::nft {

/// One family's listeners behind the inner device. `udp_ports` has a power of two entries: one for
/// each worker that takes datagrams.
struct Listeners {
  Family family = Family::v4;
  std::uint16_t tcp_port = 0;
  std::vector<std::uint16_t> udp_ports;
};

struct TunLinkPolicy {
  std::string outer;  ///< Device that applications route to.
  std::string inner;  ///< Device whose packets go to the listeners.
  Mark inner_mark;    ///< Set on what goes to a listener: leads to local delivery (ip rule).
  Mark own_mark;      ///< On all our outbound sockets; 0 when they are in another namespace.
  std::vector<Listeners> listeners;
};

/// Chain `inner`: what arrives on the inner device goes to the listeners, the rest is dropped and
/// counted. Chain `loop`: our own outbound traffic is refused on the outer device, so that a wrong
/// route makes a connection fail instead of going round for ever.
Table plan_tun_link(const TunLinkPolicy& policy);

}  // namespace hairpin::nft
