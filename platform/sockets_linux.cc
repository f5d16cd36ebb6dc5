#include "platform/sockets.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <string_view>

#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR IPV6_ORIGDSTADDR
#endif

namespace hairpin::platform {

namespace {

constexpr int kListenBacklog = 4096;              // what somaxconn is since Linux 5.4
constexpr int kListenerBuffer = 4 * 1024 * 1024;  // bytes; rides out a burst between two reads
constexpr int kOutboundBuffer = 1024 * 1024;      // bytes; there may be thousands of them

Result<> set(int socket, int level, int option, int value, const char* name) {
  if (::setsockopt(socket, level, option, &value, sizeof value) != 0) return last_error(name);
  return {};
}

Result<Fd> open_socket(Family family, int type) {
  Fd fd(
      ::socket(family == Family::v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket");
  return fd;
}

Result<> bind_to_device(int socket, const std::string& interface) {
  if (::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                   static_cast<socklen_t>(interface.size())) != 0) {
    return last_error("SO_BINDTODEVICE " + interface);
  }
  return {};
}

Result<Fd> open_transparent(const TransparentBinding& binding, int type) {
  const Family family = binding.family;
  auto fd = open_socket(family, type);
  if (!fd) return fd;
  const int socket = fd->get();
  Result<> ok = set(socket, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  if (ok && family == Family::v4) ok = set(socket, SOL_IP, IP_TRANSPARENT, 1, "IP_TRANSPARENT");
  if (ok && family == Family::v6) {
    ok = set(socket, SOL_IPV6, IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT");
    if (ok) ok = set(socket, SOL_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
  }
  if (ok) ok = set(socket, SOL_SOCKET, SO_MARK, static_cast<int>(binding.mark.value()), "SO_MARK");
  if (ok) ok = bind_to_device(socket, binding.interface);
  if (!ok) return ok.error();
  return fd;
}

constexpr int kOn = 1;

Result<> bind_to(int socket, const Endpoint& local) {
  sockaddr_storage address{};
  const socklen_t size = local.to_sockaddr(address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return last_error("bind " + local.text());
  }
  return {};
}

Result<> bind_any(int socket, Family family, std::uint16_t port) {
  return bind_to(socket,
                 {family == Family::v4 ? IpAddr() : IpAddr(std::array<std::uint8_t, 16>{}), port});
}

/// Room for what arrives between two reads, and merged datagrams where the kernel has them. Both
/// only make things faster: without, each datagram comes alone.
void expect_bursts(int socket, int buffer) {
  if (!set(socket, SOL_SOCKET, SO_RCVBUFFORCE, buffer, "SO_RCVBUFFORCE")) {
    (void)set(socket, SOL_SOCKET, SO_RCVBUF, buffer, "SO_RCVBUF");
  }
  (void)set(socket, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
}

Result<Fd> open_outbound(Family family, int type, const Binding& binding, bool may_bind) {
  auto fd = open_socket(family, type);
  if (!fd) return fd;
  if (binding.mark) {
    auto marked =
        set(fd->get(), SOL_SOCKET, SO_MARK, static_cast<int>(binding.mark.value()), "SO_MARK");
    if (!marked) return marked.error();
  }
  if (binding.protect != nullptr && *binding.protect && !(*binding.protect)(fd->get())) {
    return Error{"the socket could not be kept out of the interface", EACCES};
  }
  if (may_bind && !binding.interface.empty()) {
    if (auto bound = bind_to_device(fd->get(), binding.interface); !bound) return bound.error();
  }
  if (binding.reuse_address) {
    auto reused = set(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (!reused) return reused.error();
  }
  return fd;
}

}  // namespace

namespace {

/// From a new socket to one that accepts captured connections.
Result<Fd> start_listening(Fd fd, Family family, std::uint16_t port) {
  if (auto ok = set(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"); !ok) return ok.error();
  set_no_delay(fd.get());
  set_urgent_inline(fd.get());
  // The way to the client is this host or its own network (platform/congestion.h). What the kernel
  // does not have is left at its default.
  constexpr std::string_view kCongestion = "cubic";
  (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, kCongestion.data(), kCongestion.size());
  if (auto ok = bind_any(fd.get(), family, port); !ok) return ok.error();
  if (::listen(fd.get(), kListenBacklog) != 0) return last_error("listen");
  return fd;
}

}  // namespace

Result<Fd> listen_transparent_tcp(const TransparentBinding& binding, std::uint16_t port) {
  auto fd = open_transparent(binding, SOCK_STREAM);
  if (!fd) return fd;
  return start_listening(std::move(*fd), binding.family, port);
}

Result<Fd> listen_redirected_tcp(Family family, std::uint16_t port) {
  const int domain = family == Family::v4 ? AF_INET : AF_INET6;
  Fd fd(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket");
  if (family == Family::v6) {
    if (auto ok = set(fd.get(), SOL_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"); !ok) return ok.error();
  }
  // For saved_syn.h.
  if (auto ok = set(fd.get(), IPPROTO_TCP, TCP_SAVE_SYN, 1, "TCP_SAVE_SYN"); !ok) return ok.error();
  return start_listening(std::move(fd), family, port);
}

Result<Endpoint> original_destination(int socket) {
  constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return last_error("getsockname");
  }
  sockaddr_storage address{};
  size = sizeof address;
  const int level = own.ss_family == AF_INET ? SOL_IP : SOL_IPV6;
  if (::getsockopt(socket, level, kOriginalDestination, &address, &size) != 0) {
    return last_error("SO_ORIGINAL_DST");
  }
  return Endpoint::from_sockaddr(address);
}

Result<Fd> open_transparent_udp(const TransparentBinding& binding) {
  const Family family = binding.family;
  auto fd = open_transparent(binding, SOCK_DGRAM);
  if (!fd) return fd;
  const int socket = fd->get();
  auto ok = family == Family::v4
                ? set(socket, SOL_IP, IP_RECVORIGDSTADDR, 1, "IP_RECVORIGDSTADDR")
                : set(socket, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1, "IPV6_RECVORIGDSTADDR");
  if (!ok) return ok.error();
  expect_bursts(socket, kListenerBuffer);
  if (auto bound = bind_any(socket, family, 0); !bound) return bound.error();
  return fd;
}

Result<Accepted> accept_tcp(int listener) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Fd fd(
      ::accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return last_error("accept");
  return Accepted{std::move(fd), Endpoint::from_sockaddr(peer)};
}

Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding,
                             const Congestion& congestion) {
  auto fd = open_outbound(to.address.family(), SOCK_STREAM, binding, !to.address.is_loopback());
  if (!fd) return std::move(fd.error()).in("connect " + to.text());
  set_no_delay(fd->get());
  congestion.begin(fd->get());
  if (binding.source) {
    // The port is chosen by connect(2), which knows the remote: one port may serve several.
    (void)::setsockopt(fd->get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &kOn, sizeof kOn);
    if (auto bound = bind_to(fd->get(), {*binding.source, 0}); !bound) return bound.error();
  }
  if (binding.fast_open) {
    (void)::setsockopt(fd->get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &kOn, sizeof kOn);
  }
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS) {
    return last_error("connect " + to.text());
  }
  return fd;
}

bool has_fast_open() {
  const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe &&
         ::setsockopt(probe.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &kOn, sizeof kOn) == 0;
}

Result<Fd> open_udp(Family family, const Binding& binding) {
  auto fd = open_outbound(family, SOCK_DGRAM, binding, true);
  if (!fd) return fd;
  expect_bursts(fd->get(), kOutboundBuffer);
  auto bound =
      binding.source ? bind_to(fd->get(), {*binding.source, 0}) : bind_any(fd->get(), family, 0);
  if (!bound) return bound.error();
  return fd;
}

std::uint64_t queue_overflows(int socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> values{};
  socklen_t size = sizeof values;
  if (::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, values.data(), &size) != 0) return 0;
  return values[SK_MEMINFO_DROPS];
}

}  // namespace hairpin::platform
