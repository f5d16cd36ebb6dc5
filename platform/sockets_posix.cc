#include "platform/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <limits>

namespace hairpin::platform {

namespace {

/// What the system does not have is left at its default.
bool set(int socket, int level, int option, int value) {
  return ::setsockopt(socket, level, option, &value, sizeof value) == 0;
}

}  // namespace

Result<Endpoint> local_endpoint(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return last_error("getsockname");
  }
  return Endpoint::from_sockaddr(address);
}

Result<Endpoint> peer_endpoint(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return last_error("getpeername");
  }
  return Endpoint::from_sockaddr(address);
}

Result<std::uint16_t> local_port(int socket) {
  const auto endpoint = local_endpoint(socket);
  if (!endpoint) return endpoint.error();
  return endpoint->port;
}

Result<> connect_outcome(int socket, const Endpoint& to) {
  const int code = take_socket_error(socket);
  if (code != 0) return Error{"connect " + to.text(), code};
  return {};
}

Result<> connect_udp(int socket, const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return last_error("connect " + to.text());
  }
  return {};
}

void reset_on_close(int socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

Result<std::span<const std::byte>> peek(int socket, std::span<std::byte> into) {
  const ssize_t size = ::recv(socket, into.data(), into.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0) return last_error("recv");
  return std::span<const std::byte>(into.first(static_cast<std::size_t>(size)));
}

bool set_low_water(int socket, std::size_t bytes) {
  return set(socket, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(bytes));
}

void set_no_delay(int socket) {
  set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
}

void set_urgent_inline(int socket) {
  set(socket, SOL_SOCKET, SO_OOBINLINE, 1);
}

int take_socket_error(int socket) {
  int code = 0;
  socklen_t size = sizeof code;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size) != 0) return errno;
  return code;
}

namespace {

/// "Unlimited" is a number, too large for 32 bits.
std::size_t as_size(rlim_t limit) {
  return static_cast<std::size_t>(std::min<rlim_t>(limit, std::numeric_limits<std::size_t>::max()));
}

}  // namespace

std::size_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? as_size(limit.rlim_cur) : 0;
}

Result<std::size_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return last_error("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return last_error("setrlimit");
  return as_size(limit.rlim_cur);
}

Fd open_spare() {
  return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

}  // namespace hairpin::platform
