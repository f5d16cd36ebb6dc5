#include <sys/socket.h>

#include <array>

#include "platform/stream.h"
#include "platform/unix_macos.h"

namespace hairpin::platform {

Result<std::pair<Fd, Fd>> open_stream_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return last_error("socketpair");
  auto one = prepared(Fd(ends[0]));
  auto other = prepared(Fd(ends[1]));
  if (!one) return one.error();
  if (!other) return other.error();
  return std::pair(std::move(*one), std::move(*other));
}

}  // namespace hairpin::platform
