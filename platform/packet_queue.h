// Packets that wait for somebody's word: nftables put them into a numbered queue (NFQUEUE,
// linux/netfilter/nfnetlink_queue.h), and the kernel keeps each until it gets a verdict, or the
// socket is closed; then it drops them.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// The most of a packet that is shown, in bytes.
inline constexpr std::size_t kQueuedBytes = 2048;

/// Takes queue `number` of the calling thread's network namespace; non-blocking. Errors: EBUSY
/// (another socket has it), EPERM (CAP_NET_ADMIN), EOPNOTSUPP (a kernel without
/// CONFIG_NETFILTER_NETLINK_QUEUE).
Result<Fd> open_packet_queue(std::uint16_t number);

struct QueuedPacket {
  std::uint32_t id = 0;        ///< For the verdict.
  Mark mark;                   ///< That the packet has.
  std::span<std::byte> bytes;  ///< From its IP header on, up to kQueuedBytes.
};

/// Reads many packets in one system call.
class QueueReader {
 public:
  QueueReader();

  /// What waits in the queue of this socket, some dozen at most; empty: nothing. Valid until the
  /// next call.
  std::span<const QueuedPacket> receive(int socket);
  /// Packets that the kernel has dropped since the last call, because they came faster than they
  /// were read, or because a chain had been changed before they got their verdict.
  std::uint64_t take_lost();

 private:
  static constexpr std::size_t kMessages = 64;
  static constexpr std::size_t kMessage = kQueuedBytes + 512;  // and its attributes

  void read_message(std::span<std::byte> message);
  void read_packet(std::span<std::byte> message);

  std::unique_ptr<std::byte[]> memory_;
  std::array<iovec, kMessages> parts_{};
  std::array<mmsghdr, kMessages> headers_{};
  std::vector<QueuedPacket> packets_;
  std::uint32_t last_ = 0;  ///< Packets are numbered from 1 on, without gaps.
  std::uint64_t lost_ = 0;
};

/// Gathers verdicts, to give many in one system call.
class Verdicts {
 public:
  /// `number`: of the queue.
  explicit Verdicts(std::uint16_t number) : number_(number) {}

  void drop(std::uint32_t id);
  /// Once more through the chain that has queued it, with this mark (NF_REPEAT).
  void repeat(std::uint32_t id, Mark mark);
  /// Gives them all. A packet that is gone already is counted by QueueReader.
  Result<> send(int socket);

 private:
  void add(std::uint32_t id, std::uint32_t verdict, const Mark* mark);

  std::uint16_t number_;
  std::vector<std::byte> messages_;
};

}  // namespace hairpin::platform
