#include "stack/listeners.h"

#include <algorithm>
#include <array>
#include <bit>

namespace hairpin::stack {

namespace {

/// Opens a socket for each worker with `open`, on the port that the first one gets.
template <class Open>
Result<std::vector<Fd>> share_port(unsigned workers, Open open) {
  std::vector<Fd> sockets;
  std::uint16_t port = 0;
  for (unsigned i = 0; i < workers; ++i) {
    Result<Fd> socket = open(port);
    if (!socket) return std::move(socket.error()).in("TCP listener");
    if (port == 0) {
      const auto chosen = platform::local_port(socket->get());
      if (!chosen) return chosen.error();
      port = *chosen;
    }
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

}  // namespace

Result<FamilyListeners> open_listeners(const platform::TransparentBinding& binding,
                                       unsigned workers, bool takes_udp) {
  auto tcp = share_port(workers, [&binding](std::uint16_t port) {
    return platform::listen_transparent_tcp(binding, port);
  });
  if (!tcp) return tcp.error();
  const auto port = platform::local_port(tcp->front().get());
  if (!port) return port.error();
  FamilyListeners listeners{binding.family, std::move(*tcp), {}, *port};
  for (unsigned i = 0; takes_udp && i < std::bit_floor(workers); ++i) {
    auto socket = platform::open_transparent_udp(binding);
    if (!socket) return std::move(socket.error()).in("UDP listener");
    listeners.udp.push_back(std::move(*socket));
  }
  return listeners;
}

Result<FamilyListeners> open_redirected(Family family, unsigned workers) {
  auto tcp = share_port(workers, [family](std::uint16_t port) {
    return platform::listen_redirected_tcp(family, port);
  });
  if (!tcp) return tcp.error();
  const auto port = platform::local_port(tcp->front().get());
  if (!port) return port.error();
  return FamilyListeners{family, std::move(*tcp), {}, *port};
}

Result<nft::Listeners> ports_of(const FamilyListeners& sockets) {
  nft::Listeners listeners;
  listeners.family = sockets.family;
  listeners.tcp_port = sockets.tcp_port;
  for (const Fd& socket : sockets.udp) {
    const auto udp = platform::local_port(socket.get());
    if (!udp) return udp.error();
    listeners.udp_ports.push_back(*udp);
  }
  return listeners;
}

bool has_family(const std::vector<IpAddr>& addresses, Family family) {
  return std::ranges::any_of(addresses, [family](const IpAddr& a) { return a.family() == family; });
}

}  // namespace hairpin::stack
