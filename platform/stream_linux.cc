#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "platform/stream.h"

namespace hairpin::platform {

Result<std::pair<Fd, Fd>> open_stream_pair(std::size_t room) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return last_error("socketpair");
  }
  for (const int end : ends) {
    if (room == 0) break;
    // Beyond net.core.wmem_max only for who administrates the network; less will do.
    const int size = static_cast<int>(room);
    if (::setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
      (void)::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
  }
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

bool has_said_all(int socket) {
  pollfd entry{socket, POLLRDHUP, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace hairpin::platform
