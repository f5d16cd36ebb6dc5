// Connected streams: sockets of TCP, and pairs within this process. None of these calls waits.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// Fills `into` with what is there. 0: the end of the stream. Error code EAGAIN: nothing waits.
Result<std::size_t> receive(int socket, std::span<std::byte> into);
/// How much of `bytes` was taken. Error code EAGAIN: there is no room. Raises no signal.
Result<std::size_t> send(int socket, std::span<const std::byte> bytes);

/// Whether the error says no more than that one has to wait.
bool would_block(const Error& error);

/// Passes the end of the stream on; what comes from the other end goes on coming. A socket whose
/// other end is gone is left as it is.
void shut_down_sending(int socket);
/// The same for both directions: whoever reads it finds the end.
void shut_down(int socket);

/// What the last call about a socket that was not one of these has failed with, as an errno: for
/// libraries that make such calls themselves.
int last_socket_error();

/// The same for several pieces at once.
Result<std::size_t> send_pieces(int socket, std::span<const std::span<const std::byte>> pieces);

/// Two connected ends, non-blocking. About `room` bytes fit into each direction, or as many as this
/// process is allowed; 0: the system's default.
Result<std::pair<Fd, Fd>> open_stream_pair(std::size_t room = 0);
/// Whether nothing will come behind what waits to be read.
bool has_said_all(int socket);
/// Whether the other end of such a pair is closed, not only shut down.
bool is_hung_up(int socket);

}  // namespace hairpin::platform
