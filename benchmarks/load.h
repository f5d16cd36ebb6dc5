// What both ends of the load agree on. `load serve` listens on consecutive ports; the clients are
// told the first of them. Integers are in host order: both ends are one program on one machine.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "support.h"

namespace hairpin::bench {

/// Offsets from the base port.
enum Service : std::uint8_t {
  kSink,       ///< TCP: reads, and discards.
  kSource,     ///< TCP: sends as fast as it can.
  kEcho,       ///< TCP: sends back.
  kUdpSink,    ///< Counts the datagrams of each run; those of run 0 are sent back.
  kControl,    ///< TCP: a Question is answered with a Report.
  kUdpSource,  ///< An Order is answered with as many datagrams as it asks for.
  kUdpEcho,    ///< Sends back.
  kServices
};

/// At the start of each datagram.
struct Stamp {
  std::uint64_t run = 0;  ///< Which measurement it belongs to: one may still arrive in the next.
  std::uint64_t sequence = 0;
};
constexpr std::uint64_t kProbe = 0;  ///< The run of datagrams that ask whether the way is open.

struct Order {
  Stamp stamp;  ///< An order for a run that was seen before is a repetition.
  double rate = 0;
  double seconds = 0;
  std::uint64_t size = 0;
};

struct Question {
  std::uint64_t run = 0;
};
struct Report {
  std::int64_t nanoseconds = 0;    ///< The server's clock: the answer's own way does not matter.
  std::uint64_t tcp_received = 0;  ///< Bytes, of all sinks since the start.
  std::uint64_t udp_received = 0;  ///< Datagrams of the run.
  std::uint64_t udp_sent = 0;      ///< Datagrams of the run.
};

/// Sends stamped datagrams in batches (sendmmsg), as programs do that send many. They are not
/// joined by the sender (UDP_SEGMENT): hardly a program does, and it would spare the way the work
/// that is to be measured.
class StampedSender {
 public:
  /// `prefix` goes before each stamp; `size` counts what follows it, the stamp included.
  StampedSender(std::uint64_t run, std::size_t size, std::span<const std::byte> prefix = {});
  /// At most Pacer::kBatch, to `to`, or where the socket is connected to. Returns how many the
  /// kernel took.
  std::size_t send(int socket, std::size_t count, sockaddr_storage* to = nullptr,
                   socklen_t to_size = 0);

 private:
  std::vector<std::byte> prefix_;
  std::vector<std::byte> padding_;
  std::uint64_t sequence_ = 0;
  std::array<Stamp, Pacer::kBatch> stamps_;
  std::array<std::array<iovec, 3>, Pacer::kBatch> vectors_;
  std::array<mmsghdr, Pacer::kBatch> messages_;
};

/// load serve ADDRESS,… BASEPORT
[[noreturn]] void serve(const Options& options);

}  // namespace hairpin::bench
