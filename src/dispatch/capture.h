// What listeners know about the link that their flows come from.
#pragma once

#include <optional>
#include <vector>

#include "flow/flow.h"
#include "nat/translate.h"

namespace hairpin::dispatch {

struct Capture {
  std::size_t inbound = 0;  ///< Index in Config::inbounds.
  /// Our outbound sockets are in the namespace of the interface. Elsewhere port numbers are
  /// independent, and nothing can loop.
  bool same_namespace = false;
  /// The interface's own addresses: what a socket of this host has that is routed there.
  std::vector<IpAddr> addresses;
  /// What has turned the packets on their way to the listeners; empty when they came as they were.
  std::optional<nat::Translator> translator;

  /// The flow of a socket that was accepted, or a datagram that was received, with these names.
  Flow flow(Network network, const Endpoint& local, const Endpoint& peer) const {
    if (!translator) return {network, peer, local, inbound};
    // The translator keeps ports and exchanges addresses.
    return {network,
            {translator->client_address(local.address), peer.port},
            {peer.address, local.port},
            inbound};
  }
};

}  // namespace hairpin::dispatch
