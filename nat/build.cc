#include "nat/build.h"

#include <algorithm>
#include <cstring>

namespace hairpin::nat {

namespace {

constexpr std::uint8_t kHopLimit = 64;  // RFC 1700's recommendation, what Linux sends

template <class Wire>
void put(Wire& wire, const IpAddr& address) {
  std::memcpy(wire.data(), address.bytes().data(), wire.size());
}

std::size_t ip_header_size(Family family) {
  return family == Family::v4 ? sizeof(Ip4Header) : sizeof(Ip6Header);
}

/// Requires: `out` holds the header; `size` is that of the whole packet.
void write_ip(std::span<std::byte> out, const IpAddr& source, const IpAddr& destination,
              std::uint8_t protocol, std::size_t size, std::uint16_t id) {
  if (source.is_v6()) {
    auto& ip = header_at<Ip6Header>(out);
    ip.version_class_label = 6U << 28;
    ip.payload_length = static_cast<std::uint16_t>(size - sizeof(Ip6Header));
    ip.next_header = protocol;
    ip.hop_limit = kHopLimit;
    put(ip.source, source);
    put(ip.destination, destination);
    return;
  }
  auto& ip = header_at<Ip4Header>(out);
  ip.version_ihl = 0x45;
  ip.tos = 0;
  ip.total_length = static_cast<std::uint16_t>(size);
  ip.id = id;
  ip.fragment = std::uint16_t{0};  // may be fragmented on its way to a forwarded client
  ip.ttl = kHopLimit;
  ip.protocol = protocol;
  ip.checksum = std::uint16_t{0};
  put(ip.source, source);
  put(ip.destination, destination);
  ip.checksum = Sum().add(out.first(sizeof(Ip4Header))).complement();
}

std::uint8_t unreachable_code(Family family, Refusal refusal) {
  const bool v4 = family == Family::v4;
  switch (refusal) {
    case Refusal::port:
      return v4 ? 3 : 4;
    case Refusal::host:
      return v4 ? 1 : 3;
    case Refusal::network:
      return 0;
    case Refusal::administrator:
      return v4 ? 13 : 1;
  }
  return 0;
}

bool is_icmp_query(const Packet& packet) {
  const auto body = packet.transport();
  if (body.empty()) return false;
  const auto type = std::to_integer<unsigned>(body[0]);
  if (packet.family() == Family::v6) return type >= 128;
  return type == IcmpHeader::kEchoRequest4 || type == IcmpHeader::kEchoReply4;
}

}  // namespace

std::span<std::byte> prepend_udp_headers(std::span<std::byte> buffer, std::size_t offset,
                                         std::size_t size, const Endpoint& source,
                                         const Endpoint& destination, std::uint16_t ip_id) {
  const std::size_t ip_size = ip_header_size(source.address.family());
  const std::size_t udp_size = sizeof(UdpHeader) + size;
  const auto headers =
      buffer.subspan(offset - sizeof(UdpHeader) - ip_size, ip_size + sizeof(UdpHeader));
  write_ip(headers, source.address, destination.address, kUdp, ip_size + udp_size, ip_id);
  auto& udp = header_at<UdpHeader>(headers.subspan(ip_size));
  udp.source_port = source.port;
  udp.destination_port = destination.port;
  udp.length = static_cast<std::uint16_t>(udp_size);
  udp.checksum =
      pseudo_header(source.address, destination.address, kUdp, static_cast<std::uint32_t>(udp_size))
          .folded();
  return headers;
}

std::span<std::byte> prepend_udp(std::span<std::byte> buffer, std::size_t offset, std::size_t size,
                                 const Endpoint& source, const Endpoint& destination,
                                 std::uint16_t ip_id, Coverage coverage) {
  const auto headers = prepend_udp_headers(buffer, offset, size, source, destination, ip_id);
  const std::span<std::byte> packet(headers.data(), headers.size() + size);
  if (coverage == Coverage::pseudo_only) return packet;
  const auto datagram = packet.subspan(headers.size() - sizeof(UdpHeader));
  // The field holds the sum of the pseudo header: summing over it adds what is needed.
  const std::uint16_t checksum = Sum().add(datagram).complement();
  auto& udp = header_at<UdpHeader>(datagram);
  udp.checksum = checksum == 0 ? std::uint16_t{0xffff} : checksum;  // 0 would mean "none"
  return packet;
}

Fragmenter::Fragmenter(std::span<const std::byte> packet, std::size_t mtu, std::uint32_t id)
    : packet_(packet),
      id_(id),
      v4_(std::to_integer<unsigned>(packet[0]) >> 4 == 4),
      ip_size_(ip_header_size(v4_ ? Family::v4 : Family::v6)),
      headers_(ip_size_ + (v4_ ? 0 : sizeof(Ip6FragmentHeader))),
      room_((mtu - headers_) / 8 * 8) {}

std::size_t Fragmenter::next(std::span<std::byte> out) {
  const auto payload = packet_.subspan(ip_size_);
  if (offset_ >= payload.size()) return 0;
  const std::size_t size = std::min(room_, payload.size() - offset_);
  const bool more = offset_ + size < payload.size();
  std::memcpy(out.data(), packet_.data(), ip_size_);
  if (v4_) {
    write_ip4(out, size, more);
  } else {
    write_ip6(out, size, more);
  }
  std::memcpy(out.data() + headers_, payload.data() + offset_, size);
  offset_ += size;
  return headers_ + size;
}

void Fragmenter::write_ip4(std::span<std::byte> out, std::size_t size, bool more) const {
  auto& ip = header_at<Ip4Header>(out);
  ip.total_length = static_cast<std::uint16_t>(headers_ + size);
  ip.fragment =
      static_cast<std::uint16_t>(offset_ / 8 | (more ? unsigned{Ip4Header::kMoreFragments} : 0U));
  ip.checksum = std::uint16_t{0};
  ip.checksum = Sum().add(out.first(sizeof(Ip4Header))).complement();
}

void Fragmenter::write_ip6(std::span<std::byte> out, std::size_t size, bool more) const {
  auto& ip = header_at<Ip6Header>(out);
  auto& fragment = header_at<Ip6FragmentHeader>(out.subspan(sizeof(Ip6Header)));
  fragment.next_header = ip.next_header;
  fragment.reserved = 0;
  fragment.offset_more = static_cast<std::uint16_t>(offset_ | (more ? 1U : 0U));
  fragment.id = id_;
  ip.next_header = kFragment;
  ip.payload_length = static_cast<std::uint16_t>(sizeof(Ip6FragmentHeader) + size);
}

void make_echo_reply(const Packet& packet, Coverage coverage) {
  std::ranges::swap_ranges(packet.source_bytes(), packet.destination_bytes());
  if (packet.is_later_fragment()) return;
  auto& icmp = header_at<IcmpHeader>(packet.transport());
  const bool v4 = packet.family() == Family::v4;
  const auto before = static_cast<std::uint16_t>(icmp.type << 8 | icmp.code);
  icmp.type = v4 ? IcmpHeader::kEchoReply4 : IcmpHeader::kEchoReply6;
  const auto after = static_cast<std::uint16_t>(icmp.type << 8 | icmp.code);
  if (coverage == Coverage::complete) icmp.checksum = updated(icmp.checksum, before, after);
}

std::optional<std::span<std::byte>> icmp_error(const Packet& packet, Refusal refusal,
                                               std::span<std::byte> out) {
  const Family family = packet.family();
  const bool v4 = family == Family::v4;
  if (packet.is_later_fragment() || packet.destination().is_multicast() ||
      packet.source().is_multicast() || packet.source().is_unspecified()) {
    return std::nullopt;
  }
  if (packet.protocol() == (v4 ? kIcmp4 : kIcmp6) && !is_icmp_query(packet)) return std::nullopt;

  const std::size_t ip_size = ip_header_size(family);
  const std::size_t limit = (v4 ? 576 : kMaxIcmpError) - ip_size - sizeof(IcmpHeader);
  const auto quoted = packet.bytes().first(std::min(limit, packet.bytes().size()));
  const std::size_t icmp_size = sizeof(IcmpHeader) + quoted.size();
  out = out.first(ip_size + icmp_size);
  const auto body = out.subspan(ip_size);

  const std::uint8_t protocol = v4 ? kIcmp4 : kIcmp6;
  write_ip(out, packet.destination(), packet.source(), protocol, out.size(), 0);
  auto& icmp = header_at<IcmpHeader>(body);
  icmp.type = v4 ? IcmpHeader::kUnreachable4 : IcmpHeader::kUnreachable6;
  icmp.code = unreachable_code(family, refusal);
  icmp.checksum = std::uint16_t{0};
  icmp.rest = std::uint32_t{0};
  std::memcpy(body.data() + sizeof(IcmpHeader), quoted.data(), quoted.size());
  Sum sum = v4 ? Sum()
               : pseudo_header(packet.destination(), packet.source(), protocol,
                               static_cast<std::uint32_t>(icmp_size));
  icmp.checksum = sum.add(body).complement();
  return out;
}

std::optional<std::span<std::byte>> tcp_reset(const Packet& packet, std::span<std::byte> out) {
  if (packet.protocol() != kTcp || packet.is_fragment()) return std::nullopt;
  const auto segment = packet.transport();
  if (segment.size() < sizeof(TcpHeader)) return std::nullopt;
  const auto& tcp = header_at<const TcpHeader>(segment);
  const std::size_t offset = std::size_t{static_cast<std::uint8_t>(tcp.offset >> 4)} * 4;
  if (offset < sizeof(TcpHeader) || offset > segment.size()) return std::nullopt;
  if ((tcp.flags & TcpHeader::kRst) != 0) return std::nullopt;

  const std::size_t ip_size = ip_header_size(packet.family());
  out = out.first(ip_size + sizeof(TcpHeader));
  const auto body = out.subspan(ip_size);
  write_ip(out, packet.destination(), packet.source(), kTcp, out.size(), 0);
  auto& reset = header_at<TcpHeader>(body);
  reset = {};
  reset.source_port = tcp.destination_port;
  reset.destination_port = tcp.source_port;
  reset.offset = (sizeof(TcpHeader) / 4) << 4;
  if ((tcp.flags & TcpHeader::kAck) != 0) {
    reset.sequence = tcp.acknowledgement;
    reset.flags = TcpHeader::kRst;
  } else {
    const auto data = static_cast<std::uint32_t>(segment.size() - offset);
    const std::uint32_t phantom = ((tcp.flags & TcpHeader::kSyn) != 0 ? 1U : 0U) +
                                  ((tcp.flags & TcpHeader::kFin) != 0 ? 1U : 0U);
    reset.acknowledgement = std::uint32_t{tcp.sequence} + data + phantom;
    reset.flags = TcpHeader::kRst | TcpHeader::kAck;
  }
  Sum sum = pseudo_header(packet.destination(), packet.source(), kTcp, sizeof(TcpHeader));
  reset.checksum = sum.add(body).complement();
  return out;
}

}  // namespace hairpin::nat
