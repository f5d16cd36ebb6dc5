// What our nftables table has to hold, from what a link needs. Pure.
#pragma once

#include <optional>
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
  std::vector<Listeners> listeners;
};

/// Chain `inner`: what arrives on the inner device goes to the listeners, the rest is dropped and
/// counted.
Table plan_tun_link(const TunLinkPolicy& policy);

struct VethLinkPolicy {
  std::string inner;  ///< The veth's end in the private namespace.
  std::vector<Listeners> listeners;
  /// Not empty: a SYN reaches a listener only in a frame from this Ethernet address. All others are
  /// dropped; whoever holds copies of them lets them in.
  std::optional<EtherAddress> released = {};
};

/// For the private namespace, where routing delivers to this host whatever arrives. Chain `inner`:
/// TCP and UDP go to the listeners; the kernel itself answers echo requests and is told of ICMP
/// errors. Chain `refuse`: other protocols get an ICMP error. The counters have the names of
/// nat::Verdict, which judges the same packets in the TUN link.
Table plan_veth_link(const VethLinkPolicy& policy);

/// Chain `loop`: our own outbound traffic is refused on the outer device of a link in the same
/// namespace, so that a wrong route makes a connection fail instead of going round for ever.
Chain plan_loop_guard(const std::string& outer, Mark own_mark);

/// The name of the table that belongs to an interface.
std::string table_name(const std::string& outer);

}  // namespace hairpin::nft
