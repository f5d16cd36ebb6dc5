#include "platform/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

namespace hairpin::platform {

Result<std::size_t> receive(int socket, std::span<std::byte> into) {
  const ssize_t got = ::recv(socket, into.data(), into.size(), MSG_DONTWAIT);
  if (got < 0) return last_error("recv");
  return static_cast<std::size_t>(got);
}

Result<std::size_t> send(int socket, std::span<const std::byte> bytes) {
  const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return last_error("send");
  return static_cast<std::size_t>(sent);
}

Result<std::size_t> send_pieces(int socket, std::span<const std::span<const std::byte>> pieces) {
  constexpr std::size_t kMost = 64;
  std::array<iovec, kMost> parts{};
  const std::size_t count = std::min(pieces.size(), kMost);
  for (std::size_t i = 0; i < count; ++i) {
    parts[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return last_error("sendmsg");
  return static_cast<std::size_t>(sent);
}

bool would_block(const Error& error) {
  return error.code == EAGAIN || error.code == EWOULDBLOCK;
}

void shut_down_sending(int socket) {
  ::shutdown(socket, SHUT_WR);
}

void shut_down(int socket) {
  ::shutdown(socket, SHUT_RDWR);
}

int last_socket_error() {
  return errno;
}

bool is_hung_up(int socket) {
  pollfd entry{socket, 0, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLHUP | POLLERR)) != 0;
}

}  // namespace hairpin::platform
