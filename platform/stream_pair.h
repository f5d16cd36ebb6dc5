// Two connected ends of a byte stream within this process.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// Both non-blocking and close-on-exec. About `room` bytes fit into each direction, or as many as
/// this process is allowed; 0: the system's default.
Result<std::pair<Fd, Fd>> open_stream_pair(std::size_t room = 0);

/// Writes several pieces at once, and returns how many bytes were taken. EAGAIN: none now. EPIPE:
/// the other end is closed.
Result<std::size_t> send_pieces(int socket, std::span<const std::span<const std::byte>> pieces);

/// Nothing will come behind what waits to be read.
bool has_said_all(int socket);
/// The other end is closed, not only shut down: nobody will read what is still written.
bool is_hung_up(int socket);

}  // namespace hairpin::platform
