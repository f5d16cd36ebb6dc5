// Sockets as this project needs them: transparent listeners, marked outbound sockets, batches of
// datagrams. All sockets are non-blocking and close-on-exec, and belong to the network namespace of
// the thread that opens them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"
#include "platform/congestion.h"

namespace hairpin::platform {

/// How an outbound socket is kept away from our own capture, and where it begins.
struct Binding {
  Mark mark;              ///< SO_MARK, when not 0.
  std::string interface;  ///< SO_BINDTODEVICE, when not empty. Not applied for loopback.
  std::optional<IpAddr> source = {};  ///< Of the socket's family; empty: the kernel's choice.
  bool reuse_address = false;         ///< SO_REUSEADDR
  /// TCP: the SYN waits for the first bytes, and carries them, where the remote has offered that
  /// before (TCP_FASTOPEN_CONNECT, RFC 7413). Such a socket is writable at once.
  bool fast_open = false;
  /// Asked about each socket before it is used; false: it must not be. Null: nobody.
  const std::function<bool(int socket)>* protect = nullptr;
};

/// False where the kernel has no TCP_FASTOPEN_CONNECT, or must not use it.
bool has_fast_open();

/// What a transparent socket serves: only what arrives on one device, and answers with a mark.
struct TransparentBinding {
  Family family = Family::v4;
  std::string interface;
  Mark mark;
};

/// Listens on all addresses of a family, on `port` (0: any free one), for connections to any
/// address (IP_TRANSPARENT). Device and mark pass to accepted sockets and their SYN-ACKs, and so do
/// TCP_NODELAY and SO_OOBINLINE, which are set. Several such sockets may share one port: the kernel
/// spreads connections over them.
Result<Fd> listen_transparent_tcp(const TransparentBinding& binding, std::uint16_t port);

/// Listens on all addresses of a family and a free port (or `port`), for connections that NAT turns
/// to this host. Otherwise like the above.
Result<Fd> listen_redirected_tcp(Family family, std::uint16_t port);
/// Where such a connection was going (SO_ORIGINAL_DST). ENOENT: it was not turned.
Result<Endpoint> original_destination(int socket);

/// Receives datagrams for any address and port; `DatagramBatch` tells where each was going.
Result<Fd> open_transparent_udp(const TransparentBinding& binding);

Result<std::uint16_t> local_port(int socket);
Result<Endpoint> local_endpoint(int socket);
Result<Endpoint> peer_endpoint(int socket);

struct Accepted {
  Fd socket;
  Endpoint peer;
};

/// Accepts one connection. Error code EAGAIN when there is none.
Result<Accepted> accept_tcp(int listener);

/// Starts a connection. It is up, or has failed, when the socket becomes writable:
/// `connect_outcome`.
Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding,
                             const Congestion& congestion = {});
/// Error with the code of the failed connect, empty when connected.
Result<> connect_outcome(int socket, const Endpoint& to);

/// A UDP socket that may talk to any remote of one family.
Result<Fd> open_udp(Family family, const Binding& binding);

/// What waits to be read, as far as it fits, and stays there. Empty: the other end has shut down.
Result<std::span<const std::byte>> peek(int socket, std::span<std::byte> into);
/// Bytes that must wait before the socket counts as readable (SO_RCVLOWAT). False: there is no such
/// thing here.
bool set_low_water(int socket, std::size_t bytes);

/// Makes close(2) send RST instead of FIN.
void reset_on_close(int socket);
void set_no_delay(int socket);
/// Urgent data stays in the stream (SO_OOBINLINE).
void set_urgent_inline(int socket);
/// Pending SO_ERROR, 0 when none.
int take_socket_error(int socket);

/// Datagrams that found the receive queue of a socket full, since it was opened.
std::uint64_t queue_overflows(int socket);

/// A descriptor for nothing but to be given up, when there are no others. Empty: there is none.
Fd open_spare();

/// How many descriptors this process may have.
std::size_t descriptor_limit();
/// Raises the limit of descriptors to the hard limit; returns it.
Result<std::size_t> raise_descriptor_limit();

/// Datagrams that follow each other between the same two ends: all of `size` bytes but the last,
/// which may be shorter. What the kernel merges and cuts in one go (UDP GRO, UDP_SEGMENT).
struct Burst {
  std::span<std::byte> memory;
  std::size_t offset = 0;  ///< Of the first payload in `memory`; what is before it may be written.
  std::size_t stride = 0;  ///< From the start of one payload to that of the next.
  std::size_t size = 0;
  std::size_t count = 1;  ///< At least 1.
  std::size_t last = 0;   ///< Size of the last; `size` if there is only one.

  std::size_t size_of(std::size_t i) const { return i + 1 == count ? last : size; }
  std::span<std::byte> operator[](std::size_t i) const {
    return memory.subspan(offset + i * stride, size_of(i));
  }
  /// Payload bytes of all.
  std::size_t total() const { return (count - 1) * size + last; }
  /// Datagrams [from, from + n). Requires: they exist, n >= 1.
  Burst part(std::size_t from, std::size_t n) const;
  /// The same without the first `bytes` of each. Requires: none is shorter.
  Burst without_front(std::size_t bytes) const;
  static Burst single(std::span<std::byte> memory, std::size_t offset, std::size_t bytes) {
    return {memory, offset, bytes, bytes, 1, bytes};
  }
};

struct Received {
  Endpoint source;
  Endpoint destination;  ///< Unspecified with port 0 when the socket does not record it.
  Burst burst;
};

/// Datagrams of one burst, at most: UDP_MAX_SEGMENTS before Linux 6.9.
inline constexpr std::size_t kMaxSegments = 64;

/// Receives many datagrams in one system call (recvmmsg) and puts those of one burst together.
/// Buffers are allocated once; their pages are touched only as far as datagrams fill them.
class DatagramBatch {
 public:
  /// `count`: messages for each system call. `headroom`: bytes left free before each payload, for
  /// headers put there later.
  DatagramBatch(std::size_t count, std::size_t headroom);
  ~DatagramBatch();
  DatagramBatch(const DatagramBatch&) = delete;
  DatagramBatch& operator=(const DatagramBatch&) = delete;

  /// Returns what was received, at least one; EAGAIN when nothing waits. Valid until the next call.
  Result<std::span<const Received>> receive(int socket);
  /// The last call filled every message: there may be more.
  bool was_full() const { return full_; }

 private:
  struct Slots;
  void prepare(std::size_t slot);
  /// Datagrams in consecutive slots are a burst, too, with the size of a slot as its stride.
  void append(std::size_t slot, std::size_t slot_size, const Received& next);

  std::unique_ptr<Slots> slots_;
  std::vector<Received> received_;
  std::size_t headroom_;
  std::size_t used_ = 0;  ///< Messages that the last call has changed.
  bool full_ = false;
};

/// The size of datagrams from which on a socket was seen to take one at a time only (its path or
/// its device cannot cut bursts), so that it is not asked each time. Kept beside the socket.
struct SegmentLimit {
  std::size_t refused = std::size_t{1} << 16;  ///< Bytes: this size and larger ones go one by one.
};

/// Sends the datagrams of a burst, each behind a copy of `header`, to `to` (nullptr: where the
/// socket is connected). The kernel cuts them out of one message where it can (UDP_SEGMENT).
/// Returns how many were sent; the error of the first that was not, when it was the first of all.
Result<std::size_t> send_burst(int socket, std::span<const std::byte> header, const Burst& burst,
                               const Endpoint* to, SegmentLimit& limit);

/// Fixes the remote end of a UDP socket: the kernel then looks up the route once, and drops what
/// comes from others.
Result<> connect_udp(int socket, const Endpoint& to);

}  // namespace hairpin::platform
