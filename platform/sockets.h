// Sockets as this project needs them: transparent listeners, marked outbound sockets, batches of
// datagrams. All sockets are non-blocking and close-on-exec, and belong to the network namespace of
// the thread that opens them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// How an outbound socket is kept away from our own capture.
struct Binding {
  Mark mark;              ///< SO_MARK, when not 0.
  std::string interface;  ///< SO_BINDTODEVICE, when not empty. Not applied for loopback.
};

/// What a transparent socket serves: only what arrives on one device, and answers with a mark.
struct TransparentBinding {
  Family family = Family::v4;
  std::string interface;
  Mark mark;
};

/// Listens on all addresses of a family, on `port` (0: any free one), for connections to any
/// address (IP_TRANSPARENT). Device and mark pass to accepted sockets and their SYN-ACKs. Several
/// such sockets may share one port: the kernel spreads connections over them.
Result<Fd> listen_transparent_tcp(const TransparentBinding& binding, std::uint16_t port);

/// Receives datagrams for any address and port; `DatagramBatch` tells where each was going.
Result<Fd> open_transparent_udp(const TransparentBinding& binding);

Result<std::uint16_t> local_port(int socket);
Result<Endpoint> local_endpoint(int socket);
Result<Endpoint> peer_endpoint(int socket);

/// Accepts one connection. Error code EAGAIN when there is none.
Result<Fd> accept_tcp(int listener);

/// Starts a connection. It is up, or has failed, when the socket becomes writable:
/// `connect_outcome`.
Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding);
/// Error with the code of the failed connect, empty when connected.
Result<> connect_outcome(int socket, const Endpoint& to);

/// A UDP socket that may talk to any remote of one family.
Result<Fd> open_udp(Family family, const Binding& binding);

/// Makes close(2) send RST instead of FIN.
void reset_on_close(int socket);
void set_no_delay(int socket);
/// Urgent data stays in the stream (SO_OOBINLINE).
void set_urgent_inline(int socket);
/// Pending SO_ERROR, 0 when none.
int take_socket_error(int socket);

/// Raises the limit of descriptors to the hard limit; returns it.
Result<std::size_t> raise_descriptor_limit();

/// One datagram with both of its ends.
struct Datagram {
  Endpoint source;
  Endpoint destination;    ///< Unspecified with port 0 when the socket does not record it.
  std::size_t offset = 0;  ///< Where the payload starts in `DatagramBatch::buffer`.
  std::size_t size = 0;
};

/// Receives many datagrams in one system call (recvmmsg). Buffers are allocated once; their pages
/// are touched only as far as datagrams fill them.
class DatagramBatch {
 public:
  /// `headroom`: bytes left free before each payload, for headers put there later.
  DatagramBatch(std::size_t count, std::size_t headroom);
  ~DatagramBatch();
  DatagramBatch(const DatagramBatch&) = delete;
  DatagramBatch& operator=(const DatagramBatch&) = delete;

  /// Returns what was received, at least one; EAGAIN when nothing waits. Valid until the next call.
  Result<std::span<const Datagram>> receive(int socket);
  /// The memory of datagram `index`: headroom, then payload.
  std::span<std::byte> buffer(std::size_t index);

 private:
  struct Slots;
  std::unique_ptr<Slots> slots_;
  std::vector<Datagram> datagrams_;
  std::size_t headroom_;
};

/// Sends `header` and `payload` as one datagram.
Result<> send_datagram(int socket, std::span<const std::byte> header,
                       std::span<const std::byte> payload, const Endpoint& to);

}  // namespace hairpin::platform
