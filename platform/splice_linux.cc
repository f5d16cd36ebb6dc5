#include "platform/splice.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace hairpin::platform {

namespace {

/// Bytes. A pipe holds pages, not bytes: of a TCP stream each may be filled by one segment only.
/// Measured from 64 KiB to 1 MiB, which is as much as fs.pipe-max-size allows by default: larger is
/// cheaper.
constexpr int kPipeSize = 1024 * 1024;
constexpr int kSmallestPipe = 64 * 1024;  ///< Bytes: what is copied at once.

}  // namespace

Result<Pipe> open_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return last_error("pipe2");
  Pipe pipe{Fd(ends[0]), Fd(ends[1]), 0, 0};
  // Refused to users without privilege who have many pipes (fs.pipe-user-pages-soft). The default
  // works too; but for them it is two pages then.
  (void)::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, kPipeSize);
  const int capacity = ::fcntl(pipe.write_end.get(), F_GETPIPE_SZ);
  if (capacity < kSmallestPipe) return Error{"pipe2: the pipe is too small", ENOBUFS};
  pipe.capacity = static_cast<std::size_t>(capacity);
  return pipe;
}

Result<std::size_t> splice_in(int socket, Pipe& pipe) {
  const ssize_t moved = ::splice(socket, nullptr, pipe.write_end.get(), nullptr, pipe.capacity,
                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (moved < 0) return last_error("splice");
  pipe.filled += static_cast<std::size_t>(moved);
  return static_cast<std::size_t>(moved);
}

Result<std::size_t> splice_out(Pipe& pipe, int socket) {
  // Without SPLICE_F_MORE: it would hold a last small segment back for 200 ms.
  constexpr unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  const ssize_t moved = ::splice(pipe.read_end.get(), nullptr, socket, nullptr, pipe.filled, flags);
  if (moved < 0) return last_error("splice");
  pipe.filled -= static_cast<std::size_t>(moved);
  return static_cast<std::size_t>(moved);
}

}  // namespace hairpin::platform
