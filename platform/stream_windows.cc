#include "platform/stream.h"

#include <algorithm>
#include <array>

#include "platform/winsock_windows.h"

namespace hairpin::platform {

namespace {

SOCKET handle(const Fd& fd) {
  return static_cast<SOCKET>(fd.get());
}

Result<Fd> open_loopback_socket() {
  start_winsock();
  const SOCKET socket = ::WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, nullptr, 0,
                                     WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (socket == INVALID_SOCKET) return socket_error("socket");
  return Fd(static_cast<int>(socket));
}

void make_end(const Fd& fd, std::size_t room) {
  u_long on = 1;
  (void)::ioctlsocket(handle(fd), static_cast<long>(FIONBIO), &on);
  const BOOL yes = TRUE;
  (void)::setsockopt(handle(fd), IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&yes),
                     sizeof yes);
  if (room == 0) return;
  const int size = static_cast<int>(room);
  (void)::setsockopt(handle(fd), SOL_SOCKET, SO_SNDBUF, reinterpret_cast<const char*>(&size),
                     sizeof size);
}

}  // namespace

Result<std::size_t> receive(int socket, std::span<std::byte> into) {
  const int got = ::recv(static_cast<SOCKET>(socket), reinterpret_cast<char*>(into.data()),
                         static_cast<int>(into.size()), 0);
  if (got < 0) return socket_error("recv");
  return static_cast<std::size_t>(got);
}

Result<std::size_t> send(int socket, std::span<const std::byte> bytes) {
  const int sent = ::send(static_cast<SOCKET>(socket), reinterpret_cast<const char*>(bytes.data()),
                          static_cast<int>(bytes.size()), 0);
  if (sent < 0) return socket_error("send");
  return static_cast<std::size_t>(sent);
}

Result<std::size_t> send_pieces(int socket, std::span<const std::span<const std::byte>> pieces) {
  constexpr std::size_t kMost = 64;
  std::array<WSABUF, kMost> parts{};
  const std::size_t count = std::min(pieces.size(), kMost);
  for (std::size_t i = 0; i < count; ++i) {
    auto* bytes = const_cast<char*>(reinterpret_cast<const char*>(pieces[i].data()));
    parts[i] = {static_cast<ULONG>(pieces[i].size()), bytes};
  }
  DWORD sent = 0;
  if (::WSASend(static_cast<SOCKET>(socket), parts.data(), static_cast<DWORD>(count), &sent, 0,
                nullptr, nullptr) != 0) {
    return socket_error("WSASend");
  }
  return sent;
}

bool would_block(const Error& error) {
  return error.code == EAGAIN;
}

void shut_down_sending(int socket) {
  ::shutdown(static_cast<SOCKET>(socket), SD_SEND);
}

void shut_down(int socket) {
  ::shutdown(static_cast<SOCKET>(socket), SD_BOTH);
}

int last_socket_error() {
  return errno_of(static_cast<unsigned long>(::WSAGetLastError()));
}

/// TCP over loopback: Windows has no socketpair. Another process may connect to the listener as
/// well, so it is looked who has.
Result<std::pair<Fd, Fd>> open_stream_pair(std::size_t room) {
  auto listener = open_loopback_socket();
  auto near = open_loopback_socket();
  if (!listener) return listener.error();
  if (!near) return near.error();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int size = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (::bind(handle(*listener), name, size) != 0 ||
      ::getsockname(handle(*listener), name, &size) != 0 || ::listen(handle(*listener), 1) != 0 ||
      ::connect(handle(*near), name, size) != 0) {
    return socket_error("make a pair of sockets");
  }
  sockaddr_in own{};
  size = sizeof own;
  if (::getsockname(handle(*near), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return socket_error("make a pair of sockets");
  }
  for (;;) {
    sockaddr_in peer{};
    size = sizeof peer;
    const SOCKET accepted = ::accept(handle(*listener), reinterpret_cast<sockaddr*>(&peer), &size);
    if (accepted == INVALID_SOCKET) return socket_error("make a pair of sockets");
    Fd far(static_cast<int>(accepted));
    if (peer.sin_port != own.sin_port || peer.sin_addr.s_addr != own.sin_addr.s_addr) continue;
    make_end(*near, room);
    make_end(far, room);
    return std::pair(std::move(*near), std::move(far));
  }
}

bool has_said_all(int socket) {
  // Whose other end has shut down hangs up here, whatever is still to be read.
  return is_hung_up(socket);
}

bool is_hung_up(int socket) {
  WSAPOLLFD entry{static_cast<SOCKET>(socket), 0, 0};
  return ::WSAPoll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace hairpin::platform
