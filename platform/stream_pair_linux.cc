#include "platform/stream_pair.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

namespace hairpin::platform {

Result<std::pair<Fd, Fd>> open_stream_pair(std::size_t room) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return last_error("socketpair");
  }
  if (room == 0) return std::pair(Fd(ends[0]), Fd(ends[1]));
  for (const int end : ends) {
    // Beyond net.core.wmem_max only for who administrates the network; less will do.
    const int size = static_cast<int>(room);
    if (::setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
      (void)::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
  }
  return std::pair(Fd(ends[0]), Fd(ends[1]));
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
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return last_error("sendmsg");
  return static_cast<std::size_t>(sent);
}

namespace {

bool polls(int socket, short wanted, int any) {
  pollfd entry{socket, wanted, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & any) != 0;
}

}  // namespace

bool has_said_all(int socket) {
  return polls(socket, POLLRDHUP, POLLRDHUP | POLLHUP | POLLERR);
}

bool is_hung_up(int socket) {
  return polls(socket, 0, POLLHUP | POLLERR);
}

}  // namespace hairpin::platform
