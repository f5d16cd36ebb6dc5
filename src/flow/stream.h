// Byte streams that relays move: TCP sockets, or one end of a socket pair whose other end somebody
// of ours reads and writes (TLS, a connection that ends in user space). Both are read, written,
// shut down and waited for alike; only resets are not the same.
#pragma once

#include <atomic>
#include <memory>

#include "base/fd.h"
#include "platform/descriptor.h"
#include "platform/sockets.h"

namespace hairpin {

/// What both ends of a socket pair tell each other beside the bytes: it has no RST. The ends may be
/// on two workers.
struct Resets {
  std::atomic<bool> by_user = false;    ///< Who was given the connection has broken it off.
  std::atomic<bool> by_remote = false;  ///< What was behind it has.
};

/// A client's connection that nobody waits for yet.
struct DetachedStream {
  Fd socket;
  std::shared_ptr<Resets> resets = {};  ///< Null: a TCP socket, which knows by itself.

  /// Makes closing it a reset.
  void reset_on_close() const {
    if (resets) resets->by_user = true;
    platform::reset_on_close(socket.get());
  }
};

/// The same, watched by a worker.
struct Stream {
  Descriptor socket;
  std::shared_ptr<Resets> resets = {};

  void reset_on_close() {
    if (resets) resets->by_user = true;
    platform::reset_on_close(socket.native_handle());
  }
  /// What looks like the end of the stream is not its end.
  bool was_reset() const { return resets && resets->by_remote; }
};

}  // namespace hairpin
