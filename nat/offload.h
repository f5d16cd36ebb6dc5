// Segmentation offload without a network card: packets of up to 64 KiB, as a device with virtio
// headers hands them out, cut into those that fit a wire (TSO, USO); and packets from a wire put
// together into few large ones before they are written to such a device (GRO).
//
// Cutting is what the kernel does: each segment has the packet's headers with its own length,
// IPv4 identification, TCP sequence number and checksum; FIN and PSH stand on the last, CWR on the
// first. Putting together is held to its inverse: packets become one only if cutting that one gives
// them back (but for the identification of IPv4 packets that may not be fragmented, which means
// nothing: RFC 6864). Payloads are not copied: a large packet is a list of its parts.
//
// Neither allocates. Headers before IP (Ethernet) are carried along, their size is an argument.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "nat/packet.h"
#include "nat/virtio.h"

namespace hairpin::nat {

/// Bytes before the IP header of an Ethernet frame, VLAN tags (IEEE 802.1Q) among them; the frame's
/// size if it is shorter.
std::size_t ethernet_header_size(std::span<const std::byte> frame);

/// Puts the transport checksum where `header` (kNeedsChecksum) says it is left to do. False when
/// the header points beyond the packet, which then is as it was.
bool complete_checksum(const VnetHeader& header, std::span<std::byte> packet);

/// Cuts one packet.
class Segmenter {
 public:
  /// `packet` is what followed `header`, its first `link_size` bytes an Ethernet header. It must
  /// stay as it is until the last segment is written. A packet that needs no cutting is one
  /// segment. False when the header contradicts the packet; there is no segment then.
  bool begin(const VnetHeader& header, std::span<std::byte> packet, std::size_t link_size = 0);

  /// Segments that `next` has not written yet.
  std::size_t left() const { return left_; }
  /// Bytes of the largest segment.
  std::size_t largest() const { return headers_ + segment_; }

  /// Writes the next segment, with complete checksums, to `out`; returns its size, 0 at the end.
  /// Requires: `out` holds `largest()` bytes.
  std::size_t next(std::span<std::byte> out);

 private:
  bool begin_segments(const VnetHeader& header);
  void write_ip(std::span<std::byte> ip, std::size_t number) const;
  void write_transport(std::span<std::byte> ip, bool first, bool last) const;

  VnetHeader whole_;  ///< Of a packet that is not cut.
  std::span<std::byte> bytes_;
  Packet packet_;
  std::size_t link_size_ = 0;
  std::size_t headers_ = 0;  ///< Bytes, link to transport. 0: the packet is not cut.
  std::size_t segment_ = 0;  ///< Payload bytes of each but the last.
  std::size_t offset_ = 0;   ///< Payload bytes written.
  std::size_t left_ = 0;
  std::size_t count_ = 0;
};

/// What a coalescer may put together.
struct CoalescerOptions {
  bool tcp = true;
  bool udp = true;            ///< Linux 6.2 and later take such packets (TUN_F_USO4, _USO6).
  std::size_t link_size = 0;  ///< Bytes before the IP header.
  /// Only packets whose checksum is right are put together: the large one has none of its own, so
  /// damage would pass unseen. False: the caller knows that they are right.
  bool verify = true;
};

/// One packet to write, in parts that follow each other.
struct Coalesced {
  VnetHeader header;
  std::size_t packets = 0;
  std::span<const std::span<const std::byte>> parts;
};

/// Puts packets together. Those of a flow keep their order; flows may pass each other.
class Coalescer {
 public:
  static constexpr std::size_t kMaxPackets = 128;

  explicit Coalescer(CoalescerOptions options = {}) : options_(options) { clear(); }
  Coalescer(const Coalescer&) = delete;
  Coalescer& operator=(const Coalescer&) = delete;

  void clear();
  /// `packet` has complete checksums and stays as it is until `clear`. False: there are kMaxPackets
  /// already.
  bool add(std::span<const std::byte> packet);

  /// Packets to write, in this order.
  std::size_t size() const { return groups_used_; }
  /// Valid until the next call.
  Coalesced operator[](std::size_t i);

 private:
  static constexpr std::size_t kMaxHeaders = 128;  ///< Ethernet with two tags, IPv6, TCP: 122.
  static constexpr std::uint8_t kNone = 0xff;
  static constexpr std::size_t kBuckets = 256;

  /// What one packet is, as far as it matters here.
  struct Candidate {
    std::span<const std::byte> bytes;
    std::size_t transport = 0;  ///< Where the transport header begins.
    std::size_t headers = 0;    ///< Bytes of all headers.
    std::uint8_t protocol = 0;  ///< kTcp, kUdp; 0: of no flow that is known.
    bool v4 = false;
    bool joins = false;  ///< May be put together with others.
    bool ends = false;   ///< Nothing may follow it.

    std::span<const std::byte> payload() const { return bytes.subspan(headers); }
  };
  struct Group {
    Candidate first;
    std::size_t payload = 0;      ///< Bytes of all its packets.
    std::uint8_t last_flags = 0;  ///< Those of the last packet that only the last may have.
    std::uint8_t packets = 0;
    std::uint8_t begin = kNone;  ///< Its first packet, and its last.
    std::uint8_t last = kNone;
    std::uint8_t previous = kNone;  ///< The group in the same bucket that came before.
    bool open = false;
  };

  Candidate look_at(std::span<const std::byte> packet) const;
  bool may_join(const Candidate& candidate) const;
  std::span<const std::byte> addresses(const Candidate& candidate) const;
  std::size_t bucket_of(const Candidate& candidate) const;
  std::uint8_t find(const Candidate& candidate, std::size_t bucket) const;
  bool extends(const Group& group, const Candidate& next) const;
  void append(Group& group, const Candidate& next);
  void write_headers(const Group& group);

  CoalescerOptions options_;
  std::array<Group, kMaxPackets> groups_;
  std::array<std::span<const std::byte>, kMaxPackets> payloads_;
  std::array<std::uint8_t, kMaxPackets> next_;  ///< The packet that follows in the same group.
  std::array<std::uint8_t, kBuckets> buckets_;  ///< The latest group of the flows in a bucket.
  std::array<std::span<const std::byte>, kMaxPackets + 1> parts_;
  std::array<std::byte, kMaxHeaders> headers_;
  std::size_t packets_used_ = 0;
  std::size_t groups_used_ = 0;
};

}  // namespace hairpin::nat
