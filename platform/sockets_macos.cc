#include "platform/sockets.h"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>

#include "platform/interface.h"
#include "platform/unix_macos.h"

namespace hairpin::platform {

namespace {

constexpr int kOutboundBuffer = 1024 * 1024;  // bytes; there may be thousands of sockets

Error not_here(const char* what) {
  return Error{std::string(what) + " is of Linux", EOPNOTSUPP};
}

Result<> set(int socket, int level, int option, int value, const char* name) {
  if (::setsockopt(socket, level, option, &value, sizeof value) != 0) return last_error(name);
  return {};
}

/// IP_BOUND_IF: routes over other interfaces do not count for this socket.
Result<> bind_to_interface(int socket, Family family, const std::string& name) {
  const auto index = interface_index(name);
  if (!index) return index.error();
  if (family == Family::v6) {
    return set(socket, IPPROTO_IPV6, IPV6_BOUND_IF, index->value(), "IPV6_BOUND_IF");
  }
  return set(socket, IPPROTO_IP, IP_BOUND_IF, index->value(), "IP_BOUND_IF");
}

Result<Fd> open_outbound(Family family, int type, const Binding& binding, bool may_bind) {
  auto fd = open_socket(family == Family::v4 ? AF_INET : AF_INET6, type, 0, "socket");
  if (!fd) return fd;
  if (may_bind && !binding.interface.empty()) {
    auto bound = bind_to_interface(fd->get(), family, binding.interface);
    if (!bound) return bound.error();
  }
  if (binding.reuse_address) {
    auto reused = set(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (!reused) return reused.error();
  }
  if (binding.protect != nullptr && *binding.protect && !(*binding.protect)(fd->get())) {
    return Error{"the socket could not be kept out of the interface", EACCES};
  }
  return fd;
}

Result<> bind_to(int socket, const Endpoint& local) {
  sockaddr_storage address{};
  const socklen_t size = local.to_sockaddr(address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return last_error("bind " + local.text());
  }
  return {};
}

}  // namespace

bool has_fast_open() {
  return false;  // connectx(2) wants the first bytes at hand
}

Result<Fd> listen_transparent_tcp(const TransparentBinding& /*binding*/, std::uint16_t /*port*/) {
  return not_here("a transparent listener");
}
Result<Fd> listen_redirected_tcp(Family /*family*/, std::uint16_t /*port*/) {
  return not_here("a listener for redirected connections");
}
Result<Endpoint> original_destination(int /*socket*/) {
  return not_here("SO_ORIGINAL_DST");
}
Result<Fd> open_transparent_udp(const TransparentBinding& /*binding*/) {
  return not_here("a transparent listener");
}

Result<Accepted> accept_tcp(int listener) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Fd raw(::accept(listener, reinterpret_cast<sockaddr*>(&peer), &size));
  if (!raw) return last_error("accept");
  auto fd = prepared(std::move(raw));
  if (!fd) return fd.error();
  return Accepted{std::move(*fd), Endpoint::from_sockaddr(peer)};
}

Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding,
                             const Congestion& /*congestion*/) {
  auto fd = open_outbound(to.address.family(), SOCK_STREAM, binding, !to.address.is_loopback());
  if (!fd) return std::move(fd.error()).in("connect " + to.text());
  set_no_delay(fd->get());
  if (binding.source) {
    if (auto bound = bind_to(fd->get(), {*binding.source, 0}); !bound) return bound.error();
  }
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS) {
    return last_error("connect " + to.text());
  }
  return fd;
}

Result<Fd> open_udp(Family family, const Binding& binding) {
  auto fd = open_outbound(family, SOCK_DGRAM, binding, true);
  if (!fd) return fd;
  (void)set(fd->get(), SOL_SOCKET, SO_RCVBUF, kOutboundBuffer, "SO_RCVBUF");
  const IpAddr any = family == Family::v4 ? IpAddr() : IpAddr(std::array<std::uint8_t, 16>{});
  auto bound = bind_to(fd->get(), {binding.source.value_or(any), 0});
  if (!bound) return bound.error();
  return fd;
}

std::uint64_t queue_overflows(int /*socket*/) {
  return 0;  // not told
}

}  // namespace hairpin::platform
