// Moving bytes between two sockets without bringing them into this process: socket → pipe → socket.
// A system without splice(2) has a file of its own that answers ENOSYS; the relay then goes on
// copying.
#pragma once

#include <cstddef>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// A pipe and how much is in it.
struct Pipe {
  Fd read_end;
  Fd write_end;
  std::size_t filled = 0;    ///< Bytes.
  std::size_t capacity = 0;  ///< Bytes.
};

/// An error too when the kernel would give so small a pipe that copying is cheaper (ENOBUFS).
Result<Pipe> open_pipe();

/// Fills the pipe with what the socket has. Returns 0 at the end of the stream, EAGAIN when nothing
/// waits, or when the pipe is full.
Result<std::size_t> splice_in(int socket, Pipe& pipe);
Result<std::size_t> splice_out(Pipe& pipe, int socket);

/// Keeps empty pipes for the next flow: making one costs two descriptors and some microseconds.
/// After a refusal (descriptors, fs.pipe-user-pages-soft) it asks the kernel again only now and
/// then. For one thread.
class PipePool {
 public:
  explicit PipePool(std::size_t keep) : keep_(keep) {}
  Result<Pipe> acquire();
  /// A pipe that is not empty is closed: its bytes belong to a flow that is gone.
  void release(Pipe pipe);

 private:
  std::vector<Pipe> idle_;
  std::size_t keep_;
  unsigned refusals_left_ = 0;  ///< Until the kernel is asked again.
};

}  // namespace hairpin::platform
