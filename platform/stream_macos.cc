#include <sys/socket.h>

#include <array>

#include "platform/stream.h"
#include "platform/unix_macos.h"

namespace hairpin::platform {

Result<std::pair<Fd, Fd>> open_stream_pair(std::size_t room) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return last_error("socketpair");
  auto one = prepared(Fd(ends[0]));
  auto other = prepared(Fd(ends[1]));
  if (!one) return one.error();
  if (!other) return other.error();
  const int size = static_cast<int>(room);
  for (const Fd* end : {&*one, &*other}) {
    if (room != 0) (void)::setsockopt(end->get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  }
  return std::pair(std::move(*one), std::move(*other));
}

bool has_said_all(int socket) {
  // Whose other end has shut down hangs up here, whatever is still to be read.
  return is_hung_up(socket);
}

}  // namespace hairpin::platform
