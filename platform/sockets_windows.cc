#include "platform/sockets.h"

#include <array>

#include "platform/interface.h"
#include "platform/stream.h"
#include "platform/winsock_windows.h"

namespace hairpin::platform {

namespace {

constexpr int kOutboundBuffer = 1024 * 1024;  // bytes; there may be thousands of sockets

SOCKET handle(int socket) {
  return static_cast<SOCKET>(socket);
}

template <class T>
Result<> set(int socket, int level, int option, T value, const char* name) {
  const auto* bytes = reinterpret_cast<const char*>(&value);
  if (::setsockopt(handle(socket), level, option, bytes, sizeof value) != 0) {
    return socket_error(name);
  }
  return {};
}

Error not_here(const char* what) {
  return Error{std::string(what) + " is of Linux", EOPNOTSUPP};
}

/// IP_UNICAST_IF: where it sends to. What is received is not looked at; a listener would need more.
Result<> bind_to_interface(int socket, Family family, const std::string& name) {
  const auto index = interface_index(name);
  if (!index) return index.error();
  const auto number = static_cast<DWORD>(index->value());
  if (family == Family::v6) {
    return set(socket, IPPROTO_IPV6, IPV6_UNICAST_IF, number, "IPV6_UNICAST_IF");
  }
  // "In network byte order", for IPv4 only.
  return set(socket, IPPROTO_IP, IP_UNICAST_IF, htonl(number), "IP_UNICAST_IF");
}

Result<Fd> open_outbound(Family family, int type, const Binding& binding, bool may_bind) {
  start_winsock();
  const SOCKET raw = ::WSASocketW(family == Family::v4 ? AF_INET : AF_INET6, type, 0, nullptr, 0,
                                  WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (raw == INVALID_SOCKET) return socket_error("socket");
  Fd fd(static_cast<int>(raw));
  u_long on = 1;
  if (::ioctlsocket(raw, static_cast<long>(FIONBIO), &on) != 0) return socket_error("FIONBIO");
  if (may_bind && !binding.interface.empty()) {
    auto bound = bind_to_interface(fd.get(), family, binding.interface);
    if (!bound) return bound.error();
  }
  if (binding.protect != nullptr && *binding.protect && !(*binding.protect)(fd.get())) {
    return Error{"the socket could not be kept out of the interface", EACCES};
  }
  return fd;
}

Result<> bind_to(int socket, const Endpoint& local) {
  sockaddr_storage address{};
  const auto size = static_cast<int>(local.to_sockaddr(address));
  if (::bind(handle(socket), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return socket_error("bind " + local.text());
  }
  return {};
}

using NameOf = int(WSAAPI*)(SOCKET, sockaddr*, int*);

Result<Endpoint> name_of(int socket, NameOf ask, const char* what) {
  sockaddr_storage address{};
  int size = sizeof address;
  if (ask(handle(socket), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return socket_error(what);
  }
  return Endpoint::from_sockaddr(address);
}

}  // namespace

bool has_fast_open() {
  return false;  // TCP_FASTOPEN here wants ConnectEx, with the first bytes at hand
}

Result<Fd> listen_transparent_tcp(const TransparentBinding&, std::uint16_t) {
  return not_here("a transparent listener");
}
Result<Fd> listen_redirected_tcp(Family, std::uint16_t) {
  return not_here("a listener for redirected connections");
}
Result<Endpoint> original_destination(int) {
  return not_here("SO_ORIGINAL_DST");
}
Result<Fd> open_transparent_udp(const TransparentBinding&) {
  return not_here("a transparent listener");
}

Result<Endpoint> local_endpoint(int socket) {
  return name_of(socket, &::getsockname, "getsockname");
}

Result<Endpoint> peer_endpoint(int socket) {
  return name_of(socket, &::getpeername, "getpeername");
}

Result<std::uint16_t> local_port(int socket) {
  const auto endpoint = local_endpoint(socket);
  if (!endpoint) return endpoint.error();
  return endpoint->port;
}

Result<Accepted> accept_tcp(int listener) {
  sockaddr_storage peer{};
  int size = sizeof peer;
  const SOCKET raw = ::accept(handle(listener), reinterpret_cast<sockaddr*>(&peer), &size);
  if (raw == INVALID_SOCKET) return socket_error("accept");
  Fd fd(static_cast<int>(raw));
  (void)::SetHandleInformation(reinterpret_cast<HANDLE>(raw), HANDLE_FLAG_INHERIT, 0);
  u_long on = 1;
  (void)::ioctlsocket(raw, static_cast<long>(FIONBIO), &on);
  return Accepted{std::move(fd), Endpoint::from_sockaddr(peer)};
}

Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding, const Congestion&) {
  auto fd = open_outbound(to.address.family(), SOCK_STREAM, binding, !to.address.is_loopback());
  if (!fd) return std::move(fd.error()).in("connect " + to.text());
  set_no_delay(fd->get());
  if (binding.source) {
    if (auto bound = bind_to(fd->get(), {*binding.source, 0}); !bound) return bound.error();
  }
  sockaddr_storage address{};
  const auto size = static_cast<int>(to.to_sockaddr(address));
  if (::connect(handle(fd->get()), reinterpret_cast<const sockaddr*>(&address), size) != 0 &&
      ::WSAGetLastError() != WSAEWOULDBLOCK) {
    return socket_error("connect " + to.text());
  }
  return fd;
}

Result<> connect_outcome(int socket, const Endpoint& to) {
  const int code = take_socket_error(socket);
  if (code != 0) return Error{"connect " + to.text(), code};
  return {};
}

Result<Fd> open_udp(Family family, const Binding& binding) {
  auto fd = open_outbound(family, SOCK_DGRAM, binding, true);
  if (!fd) return fd;
  (void)set(fd->get(), SOL_SOCKET, SO_RCVBUF, kOutboundBuffer, "SO_RCVBUF");
  // Otherwise an ICMP error about one remote ends the reception from all.
  BOOL off = FALSE;
  DWORD unused = 0;
  (void)::WSAIoctl(handle(fd->get()), SIO_UDP_CONNRESET, &off, sizeof off, nullptr, 0, &unused,
                   nullptr, nullptr);
  const IpAddr any = family == Family::v4 ? IpAddr() : IpAddr(std::array<std::uint8_t, 16>{});
  auto bound = bind_to(fd->get(), {binding.source.value_or(any), 0});
  if (!bound) return bound.error();
  return fd;
}

Result<> connect_udp(int socket, const Endpoint& to) {
  sockaddr_storage address{};
  const auto size = static_cast<int>(to.to_sockaddr(address));
  if (::connect(handle(socket), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return socket_error("connect " + to.text());
  }
  return {};
}

void reset_on_close(int socket) {
  (void)set(socket, SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0}, "SO_LINGER");
}

Result<std::span<const std::byte>> peek(int socket, std::span<std::byte> into) {
  const int size = ::recv(handle(socket), reinterpret_cast<char*>(into.data()),
                          static_cast<int>(into.size()), MSG_PEEK);
  // More is there than there was room for.
  if (size < 0 && ::WSAGetLastError() == WSAEMSGSIZE) return std::span<const std::byte>(into);
  if (size < 0) return socket_error("recv");
  return std::span<const std::byte>(into.first(static_cast<std::size_t>(size)));
}

bool set_low_water(int, std::size_t) {
  return false;  // WSAENOPROTOOPT, says the documentation
}

void set_no_delay(int socket) {
  (void)set(socket, IPPROTO_TCP, TCP_NODELAY, BOOL{TRUE}, "TCP_NODELAY");
}

void set_urgent_inline(int socket) {
  (void)set(socket, SOL_SOCKET, SO_OOBINLINE, BOOL{TRUE}, "SO_OOBINLINE");
}

int take_socket_error(int socket) {
  int code = 0;
  int size = sizeof code;
  if (::getsockopt(handle(socket), SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&code), &size) !=
      0) {
    return last_socket_error();
  }
  return errno_of(static_cast<unsigned long>(code));
}

std::uint64_t queue_overflows(int) {
  return 0;  // not told
}

Fd open_spare() {
  return {};  // there is no limit that one could meet
}

std::size_t descriptor_limit() {
  constexpr std::size_t kHandles = std::size_t{1} << 24;  // of a process
  return kHandles;
}

Result<std::size_t> raise_descriptor_limit() {
  return descriptor_limit();
}

}  // namespace hairpin::platform
