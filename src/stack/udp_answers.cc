#include "stack/udp_answers.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hairpin::stack {

namespace {

/// What an IPv6 packet to a client behind this host is cut to: routers may not cut it further, and
/// this is what every link carries (RFC 8200, section 5).
constexpr std::size_t kMinMtu6 = 1280;
/// Bytes of the largest frame's own headers.
constexpr std::size_t kMaxFrameHeader = sizeof(nat::VnetHeader) + UdpAnswers::kEthernet;
constexpr std::size_t kMaxPieces = 64;  ///< Datagrams merged into one packet.

static_assert(Worker::kHeadroom >= kMaxFrameHeader + nat::kUdpHeadroom);

std::size_t headers_of(const IpAddr& address) {
  return (address.is_v6() ? sizeof(nat::Ip6Header) : sizeof(nat::Ip4Header)) +
         sizeof(nat::UdpHeader);
}

}  // namespace

UdpAnswers::UdpAnswers(Worker& worker, FrameWriter& writer, Frame frame, std::vector<IpAddr> own)
    : worker_(worker), writer_(writer), frame_(frame), own_(std::move(own)) {}

std::size_t UdpAnswers::limit_to(const IpAddr& client) const {
  const bool behind = std::ranges::find(own_, client) == own_.end();
  return client.is_v6() && behind ? std::min(kMinMtu6, frame_.mtu) : frame_.mtu;
}

std::span<std::byte> UdpAnswers::frame(std::span<std::byte> packet, nat::Coverage coverage,
                                       std::size_t segment) {
  const bool v4 = std::to_integer<unsigned>(packet[0]) >> 4 == 4;
  std::byte* start = packet.data();
  std::size_t link = 0;
  if (frame_.ethernet) {
    link = kEthernet;
    start -= link;
    std::memcpy(start, frame_.ethernet->data(), 6);
    std::memcpy(start + 6, frame_.ethernet->data(), 6);
    start[12] = std::byte{static_cast<std::uint8_t>(v4 ? 0x08 : 0x86)};  // IEEE 802 numbers
    start[13] = std::byte{static_cast<std::uint8_t>(v4 ? 0x00 : 0xdd)};
  }
  if (frame_.vnet_header) {
    nat::VnetHeader header;
    if (coverage == nat::Coverage::pseudo_only) {
      const std::size_t ip = v4 ? sizeof(nat::Ip4Header) : sizeof(nat::Ip6Header);
      header.flags = nat::VnetHeader::kNeedsChecksum;
      header.checksum_start = static_cast<std::uint16_t>(link + ip);
      header.checksum_offset = offsetof(nat::UdpHeader, checksum);
      if (segment != 0) {
        header.gso_type = nat::VnetHeader::kGsoUdpL4;
        header.gso_size = static_cast<std::uint16_t>(segment);
        header.header_length = static_cast<std::uint16_t>(link + ip + sizeof(nat::UdpHeader));
      }
    }
    start -= sizeof header;
    std::memcpy(start, &header, sizeof header);
  }
  return {start, packet.data() + packet.size()};
}

void UdpAnswers::write(std::span<const std::byte> bytes) {
  if (!writer_.write(bytes)) worker_.counters.add(Count::tun_write_error);
}

void UdpAnswers::answer(const Endpoint& from, const Endpoint& to, const platform::Burst& burst) {
  const std::size_t headers = headers_of(to.address);
  const std::size_t largest = to.address.is_v6() ? nat::kMaxUdpPayload6 : nat::kMaxUdpPayload4;
  if (from.address.family() != to.address.family() || burst.size > largest) {
    worker_.counters.add(Count::udp_send_failed, burst.count);
    return;
  }
  const bool fits = headers + burst.size <= limit_to(to.address);
  for (std::size_t sent = 0; sent < burst.count;) {
    // The packet around a burst has 16 bits for its length, as any other.
    const std::size_t room = burst.size == 0 ? 1 : (kNoMtu - headers) / burst.size;
    std::size_t n = std::min({kMaxPieces, room, burst.count - sent});
    // An empty datagram adds nothing to a packet that is cut by sizes: it goes alone.
    if (n > 1 && burst.size_of(sent + n - 1) == 0) --n;
    if (n > 1 && fits && frame_.segments && send_merged(from, to, burst.part(sent, n))) {
      sent += n;
    } else {
      send_one(from, to, burst, sent++);
    }
  }
}

bool UdpAnswers::send_merged(const Endpoint& from, const Endpoint& to,
                             const platform::Burst& burst) {
  // The headers are written for all payloads together, before the first; the others stay where
  // they are and are gathered by the kernel.
  const std::size_t start = burst.offset;
  const auto packet = nat::prepend_udp_headers(burst.memory, start, burst.total(), from, to,
                                               static_cast<std::uint16_t>(next_id_));
  next_id_ += static_cast<std::uint32_t>(burst.count);  // each datagram gets one of its own
  const auto head = frame(packet, nat::Coverage::pseudo_only, burst.size);
  std::array<std::span<const std::byte>, kMaxPieces + 1> parts;
  static_assert(kMaxPieces + 1 <= FrameWriter::kMaxPieces);
  std::size_t used = 0;
  parts[used++] = head;
  if (burst.stride == burst.size) {
    parts[used++] = burst.memory.subspan(start, burst.total());
  } else {
    for (std::size_t i = 0; i < burst.count; ++i) parts[used++] = burst[i];
  }
  const auto written = writer_.write(std::span(parts).first(used));
  if (written) return true;
  if (written.error().code == EINVAL) {  // a kernel before 6.2
    frame_.segments = false;
    return false;
  }
  worker_.counters.add(Count::tun_write_error, burst.count);
  return true;
}

void UdpAnswers::send_one(const Endpoint& from, const Endpoint& to, const platform::Burst& burst,
                          std::size_t index) {
  const std::size_t size = burst.size_of(index);
  const std::uint32_t id = next_id_++;
  const std::size_t limit = limit_to(to.address);
  const bool cut = headers_of(to.address) + size > limit;
  // The kernel can be left to do the sum, if there is a header to tell it, and one packet to sum.
  const auto coverage =
      frame_.vnet_header && !cut ? nat::Coverage::pseudo_only : nat::Coverage::complete;
  const auto packet = nat::prepend_udp(burst.memory, burst.offset + index * burst.stride, size,
                                       from, to, static_cast<std::uint16_t>(id), coverage);
  if (!cut) return write(frame(packet, coverage, 0));
  nat::Fragmenter fragments(packet, limit, id);
  std::vector<std::byte>& out = worker_.fragment;
  out.resize(kMaxFrameHeader + limit);
  const auto body = std::span(out).subspan(kMaxFrameHeader);
  while (const std::size_t length = fragments.next(body)) {
    write(frame(body.first(length), nat::Coverage::complete, 0));
  }
}

void UdpAnswers::refuse(const nat::Packet& packet, nat::Refusal refusal) {
  std::array<std::byte, kMaxFrameHeader + nat::kMaxIcmpError> buffer;
  const auto error = nat::icmp_error(packet, refusal, std::span(buffer).subspan(kMaxFrameHeader));
  if (error) write(frame(*error, nat::Coverage::complete, 0));
}

void UdpAnswers::reset(const nat::Packet& packet) {
  std::array<std::byte, kMaxFrameHeader + nat::kMaxTcpReset> buffer;
  const auto reset = nat::tcp_reset(packet, std::span(buffer).subspan(kMaxFrameHeader));
  if (reset) write(frame(*reset, nat::Coverage::complete, 0));
}

void UdpAnswers::refuse(const Endpoint& client, const Endpoint& to,
                        std::span<const std::byte> payload) {
  if (client.address.family() != to.address.family()) return;
  // The error quotes the beginning of the datagram that it is about, which the kernel has taken
  // apart: build it again.
  constexpr std::size_t kOffset = nat::kUdpHeadroom;
  std::array<std::byte, kOffset + nat::kMaxIcmpError> quoted;
  const std::size_t size = std::min(payload.size(), nat::kMaxIcmpError);
  std::ranges::copy(payload.first(size), quoted.begin() + kOffset);
  const auto datagram =
      nat::prepend_udp(quoted, kOffset, size, client, to, 0, nat::Coverage::complete);
  nat::Packet packet;
  if (nat::Packet::parse(datagram, packet) == nat::Malformed::none) {
    refuse(packet, nat::Refusal::port);
  }
}

}  // namespace hairpin::stack
