#include "nat/offload.h"

#include <algorithm>
#include <cstring>

#include "nat/checksum.h"

namespace hairpin::nat {

namespace {

constexpr std::uint8_t kGsoEcn =
    0x80;  // VIRTIO_NET_HDR_GSO_ECN: CWR may be set; it always may here
constexpr std::uint8_t kUrg = 0x20;
constexpr std::uint8_t kCwr = 0x80;
constexpr std::uint8_t kLastOnly = TcpHeader::kFin | TcpHeader::kPsh;
constexpr std::uint8_t kNeverJoin = TcpHeader::kSyn | TcpHeader::kRst | kUrg | kCwr;
constexpr std::size_t kPorts = 4;  // bytes, at the front of TCP and UDP headers
constexpr std::size_t kMaxIpPacket = 65535;
constexpr std::size_t kMaxUdpSegments = 64;  // UDP_MAX_SEGMENTS of kernels before 6.9

/// A sum of zero in its other form: in UDP zero says that there is none (RFC 768).
std::uint16_t not_zero(std::uint16_t checksum) {
  return checksum == 0 ? 0xffff : checksum;
}

/// Bytes of a TCP or UDP header; 0 when `transport` does not hold it whole.
std::size_t transport_header_size(std::uint8_t protocol, std::span<const std::byte> transport) {
  std::size_t size = sizeof(UdpHeader);
  if (protocol == kTcp) {
    if (transport.size() < sizeof(TcpHeader)) return 0;
    size = std::size_t{header_at<TcpHeader>(transport).offset} >> 4U << 2U;
    if (size < sizeof(TcpHeader)) return 0;
  }
  return transport.size() < size ? 0 : size;
}

std::uint8_t gso_type_of(std::uint8_t protocol, bool v4) {
  if (protocol == kUdp) return VnetHeader::kGsoUdpL4;
  return v4 ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoTcp6;
}

std::uint8_t protocol_of(std::uint8_t gso_type) {
  return gso_type == VnetHeader::kGsoUdpL4 ? kUdp : kTcp;
}

bool fits(std::uint8_t gso_type, const Packet& packet) {
  switch (gso_type) {
    case VnetHeader::kGsoTcp4:
      return packet.family() == Family::v4 && packet.protocol() == kTcp;
    case VnetHeader::kGsoTcp6:
      return packet.family() == Family::v6 && packet.protocol() == kTcp;
    case VnetHeader::kGsoUdpL4:
      return packet.protocol() == kUdp;
    default:
      return false;  // fragments by the network card (kGsoUdp), which nobody here asks for
  }
}

std::uint16_t transport_checksum(const Packet& packet, std::uint8_t protocol,
                                 std::span<const std::byte> segment) {
  return pseudo_header(packet.source(), packet.destination(), protocol,
                       static_cast<std::uint32_t>(segment.size()))
      .add(segment)
      .complement();
}

/// Lengths of the IP header, and for IPv4 its checksum. `ip` begins with the header.
void set_ip_length(std::span<std::byte> ip, std::size_t total, bool v4) {
  if (!v4) {
    header_at<Ip6Header>(ip).payload_length = static_cast<std::uint16_t>(total - sizeof(Ip6Header));
    return;
  }
  auto& header = header_at<Ip4Header>(ip);
  header.total_length = static_cast<std::uint16_t>(total);
  header.checksum = 0;
  const std::size_t size = std::size_t{header.version_ihl & 0x0fU} * 4;
  header.checksum = Sum().add(ip.first(size)).complement();
}

/// Packet only looks at what it is given, but hands it out to those who may write.
Malformed parse(std::span<const std::byte> bytes, Packet& packet) {
  return Packet::parse({const_cast<std::byte*>(bytes.data()), bytes.size()}, packet);
}

bool same(std::span<const std::byte> one, std::span<const std::byte> other) {
  return one.size() == other.size() && std::memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace

std::size_t ethernet_header_size(std::span<const std::byte> frame) {
  constexpr std::size_t kTag = 4;
  std::size_t type = 12;  // behind both addresses
  while (type + 2 <= frame.size()) {
    const auto ether_type = header_at<be16>(frame.subspan(type));
    if (ether_type != 0x8100 && ether_type != 0x88a8) return type + 2;
    type += kTag;
  }
  return frame.size();
}

bool complete_checksum(const VnetHeader& header, std::span<std::byte> packet) {
  const std::size_t start = header.checksum_start;
  const std::size_t field = start + header.checksum_offset;
  if (field + sizeof(be16) > packet.size()) return false;
  // The field holds the sum of the pseudo header, and is summed along.
  const std::uint16_t sum = Sum().add(packet.subspan(start)).complement();
  header_at<be16>(packet.subspan(field)) = not_zero(sum);  // as the kernel, whatever the protocol
  return true;
}

// ---- cutting
// -------------------------------------------------------------------------------------

bool Segmenter::begin(const VnetHeader& header, std::span<std::byte> packet,
                      std::size_t link_size) {
  whole_ = header;
  bytes_ = packet;
  link_size_ = link_size;
  headers_ = segment_ = offset_ = left_ = count_ = 0;
  whole_.gso_type &= static_cast<std::uint8_t>(~kGsoEcn);
  if (whole_.gso_type != VnetHeader::kGsoNone) return begin_segments(whole_);
  if ((header.flags & VnetHeader::kNeedsChecksum) != 0 && !complete_checksum(header, packet)) {
    return false;
  }
  segment_ = packet.size();
  left_ = count_ = 1;
  return true;
}

bool Segmenter::begin_segments(const VnetHeader& header) {
  if (header.gso_size == 0 || link_size_ > bytes_.size()) return false;
  if (Packet::parse(bytes_.subspan(link_size_), packet_) != Malformed::none) return false;
  if (packet_.is_fragment() || !fits(header.gso_type, packet_)) return false;
  const std::uint8_t protocol = protocol_of(header.gso_type);
  const std::size_t size = transport_header_size(protocol, packet_.transport());
  if (size == 0) return false;
  bytes_ = bytes_.first(link_size_ + packet_.bytes().size());
  headers_ = bytes_.size() - packet_.transport().size() + size;
  segment_ = header.gso_size;
  const std::size_t payload = bytes_.size() - headers_;
  segment_ = std::min(segment_, std::max<std::size_t>(payload, 1));
  left_ = count_ = std::max<std::size_t>(1, (payload + segment_ - 1) / segment_);
  return true;
}

std::size_t Segmenter::next(std::span<std::byte> out) {
  if (left_ == 0) return 0;
  const bool last = --left_ == 0;
  if (headers_ == 0) {
    std::ranges::copy(bytes_, out.begin());
    return bytes_.size();
  }
  const std::size_t payload = last ? bytes_.size() - headers_ - offset_ : segment_;
  std::memcpy(out.data(), bytes_.data(), headers_);
  std::memcpy(out.data() + headers_, bytes_.data() + headers_ + offset_, payload);
  const auto ip = out.subspan(link_size_, headers_ - link_size_ + payload);
  write_ip(ip, count_ - left_ - 1);
  write_transport(ip, offset_ == 0, last);
  offset_ += payload;
  return headers_ + payload;
}

void Segmenter::write_ip(std::span<std::byte> ip, std::size_t number) const {
  const bool v4 = packet_.family() == Family::v4;
  if (v4) {
    auto& header = header_at<Ip4Header>(ip);
    header.id = static_cast<std::uint16_t>(header.id + number);
  }
  set_ip_length(ip, ip.size(), v4);
}

void Segmenter::write_transport(std::span<std::byte> ip, bool first, bool last) const {
  const std::size_t before = packet_.bytes().size() - packet_.transport().size();
  const auto segment = ip.subspan(before);
  const std::uint8_t protocol = packet_.protocol();
  if (protocol == kUdp) {
    auto& header = header_at<UdpHeader>(segment);
    header.length = static_cast<std::uint16_t>(segment.size());
    header.checksum = 0;
    header.checksum = not_zero(transport_checksum(packet_, protocol, segment));
    return;
  }
  auto& header = header_at<TcpHeader>(segment);
  header.sequence = static_cast<std::uint32_t>(header.sequence + offset_);
  if (!last) header.flags &= static_cast<std::uint8_t>(~kLastOnly);
  if (!first) header.flags &= static_cast<std::uint8_t>(~kCwr);
  header.checksum = 0;
  header.checksum = transport_checksum(packet_, protocol, segment);
}

// ---- putting together
// ----------------------------------------------------------------------------

namespace {

std::span<const std::byte> ports(std::span<const std::byte> packet, std::size_t transport) {
  return packet.subspan(transport, kPorts);
}

/// What of two headers must be equal, beside what numbers the packets of a flow.
bool same_ip(std::span<const std::byte> one, std::span<const std::byte> other, bool v4) {
  if (!v4) {  // all but the length
    return same(one.first(4), other.first(4)) && same(one.subspan(6, 34), other.subspan(6, 34));
  }
  // version, tos; fragment, ttl, protocol; addresses: without length, identification, checksum
  return same(one.first(2), other.first(2)) && same(one.subspan(6, 4), other.subspan(6, 4)) &&
         same(one.subspan(12, 8), other.subspan(12, 8));
}

bool same_tcp(std::span<const std::byte> one, std::span<const std::byte> other) {
  constexpr std::size_t kUrgent = offsetof(TcpHeader, urgent);  // and the options behind it
  const auto& a = header_at<TcpHeader>(one);
  const auto& b = header_at<TcpHeader>(other);
  return a.acknowledgement == b.acknowledgement && a.offset == b.offset && a.window == b.window &&
         ((a.flags ^ b.flags) & ~kLastOnly) == 0 &&
         same(one.subspan(kUrgent), other.subspan(kUrgent));
}

/// Whether cutting would number `next` as it is numbered: it follows `packets` others.
bool same_numbering(const Ip4Header& first, const Ip4Header& next, std::size_t packets) {
  if ((first.fragment & Ip4Header::kDontFragment) != 0) return true;
  return next.id == static_cast<std::uint16_t>(first.id + packets);
}

}  // namespace

void Coalescer::clear() {
  packets_used_ = groups_used_ = 0;
  buckets_.fill(kNone);
}

Coalescer::Candidate Coalescer::look_at(std::span<const std::byte> packet) const {
  Candidate candidate;
  candidate.bytes = packet;
  candidate.headers = packet.size();
  Packet parsed;
  if (packet.size() <= options_.link_size) return candidate;
  const auto ip = packet.subspan(options_.link_size);
  if (parse(ip, parsed) != Malformed::none || parsed.is_fragment()) return candidate;
  const bool known = parsed.protocol() == kTcp || parsed.protocol() == kUdp;
  if (!known || parsed.transport().size() < kPorts) return candidate;
  candidate.v4 = parsed.family() == Family::v4;
  candidate.protocol = parsed.protocol();
  candidate.transport = static_cast<std::size_t>(parsed.transport().data() - packet.data());
  const std::size_t size = transport_header_size(parsed.protocol(), parsed.transport());
  const std::size_t plain = candidate.v4 ? sizeof(Ip4Header) : sizeof(Ip6Header);
  // Options, extension headers, and bytes behind the packet's end are not put together.
  if (size == 0 || candidate.transport != options_.link_size + plain ||
      parsed.bytes().size() != ip.size()) {
    return candidate;
  }
  candidate.headers = candidate.transport + size;
  candidate.joins = may_join(candidate);
  const auto& tcp = header_at<TcpHeader>(packet.subspan(candidate.transport));
  candidate.ends = candidate.protocol == kTcp && (tcp.flags & kLastOnly) != 0;
  return candidate;
}

bool Coalescer::may_join(const Candidate& candidate) const {
  const auto transport = candidate.bytes.subspan(candidate.transport);
  if (candidate.payload().empty()) return false;
  if (candidate.protocol == kTcp) {
    if (!options_.tcp || (header_at<TcpHeader>(transport).flags & kNeverJoin) != 0) return false;
  } else {
    const auto& udp = header_at<UdpHeader>(transport);
    // Without a checksum the packet would come back with one.
    if (!options_.udp || udp.length != transport.size() || udp.checksum == 0) return false;
  }
  const auto ip = candidate.bytes.subspan(options_.link_size);
  // What cutting makes anew must be as cutting makes it.
  if (candidate.v4 && Sum().add(ip.first(sizeof(Ip4Header))).folded() != 0xffff) return false;
  if (!options_.verify) return true;
  Packet packet;
  return parse(ip, packet) == Malformed::none &&
         transport_checksum(packet, candidate.protocol, transport) == 0;
}

std::span<const std::byte> Coalescer::addresses(const Candidate& candidate) const {
  const auto ip = candidate.bytes.subspan(options_.link_size);
  return candidate.v4 ? ip.subspan(12, 8) : ip.subspan(8, 32);
}

std::size_t Coalescer::bucket_of(const Candidate& candidate) const {
  const std::uint32_t both_ports = header_at<be32>(candidate.bytes.subspan(candidate.transport));
  const std::uint32_t address = header_at<be32>(addresses(candidate).last(4));
  return ((both_ports ^ address) * 0x9e3779b1U) >> 24U;  // Fibonacci hashing
}

std::uint8_t Coalescer::find(const Candidate& candidate, std::size_t bucket) const {
  for (std::uint8_t i = buckets_.at(bucket); i != kNone; i = groups_[i].previous) {
    const Candidate& first = groups_[i].first;
    if (first.protocol == candidate.protocol && first.v4 == candidate.v4 &&
        same(ports(first.bytes, first.transport), ports(candidate.bytes, candidate.transport)) &&
        same(addresses(first), addresses(candidate))) {
      return i;
    }
  }
  return kNone;
}

bool Coalescer::extends(const Group& group, const Candidate& next) const {
  const Candidate& first = group.first;
  const std::size_t link = options_.link_size;
  if (!group.open || !next.joins || next.headers != first.headers) return false;
  const std::size_t payload = next.payload().size();
  if (payload > first.payload().size()) return false;
  if (first.headers - link + group.payload + payload > kMaxIpPacket) return false;
  const auto one = first.bytes.first(first.headers);
  const auto other = next.bytes.first(next.headers);
  if (!same(one.first(link), other.first(link))) return false;
  if (!same_ip(one.subspan(link), other.subspan(link), first.v4)) return false;
  if (first.v4 && !same_numbering(header_at<Ip4Header>(one.subspan(link)),
                                  header_at<Ip4Header>(other.subspan(link)), group.packets)) {
    return false;
  }
  if (first.protocol == kUdp) return group.packets < kMaxUdpSegments;
  const auto& a = header_at<TcpHeader>(one.subspan(first.transport));
  const auto& b = header_at<TcpHeader>(other.subspan(next.transport));
  return b.sequence == static_cast<std::uint32_t>(a.sequence + group.payload) &&
         same_tcp(one.subspan(first.transport), other.subspan(next.transport));
}

void Coalescer::append(Group& group, const Candidate& next) {
  const auto packet = static_cast<std::uint8_t>(packets_used_);
  payloads_[packet] = next.payload();
  next_[packet] = kNone;
  (group.packets == 0 ? group.begin : next_[group.last]) = packet;
  group.last = packet;
  ++group.packets;
  group.payload += next.payload().size();
  group.open = next.joins && !next.ends && next.payload().size() == group.first.payload().size();
  if (next.joins && next.protocol == kTcp) {
    const auto& tcp = header_at<TcpHeader>(next.bytes.subspan(next.transport));
    group.last_flags = tcp.flags & kLastOnly;
  }
}

bool Coalescer::add(std::span<const std::byte> packet) {
  if (packets_used_ == kMaxPackets) return false;
  const Candidate candidate = look_at(packet);
  std::size_t bucket = 0;
  if (candidate.protocol != 0) {
    bucket = bucket_of(candidate);
    const std::uint8_t found = find(candidate, bucket);
    if (found != kNone && extends(groups_[found], candidate)) {
      append(groups_[found], candidate);
      ++packets_used_;
      return true;
    }
  }
  Group& group = groups_[groups_used_];
  group = {.first = candidate};
  if (candidate.protocol != 0) {
    // Found before older groups of the same flow, so that nothing joins those any more.
    group.previous = buckets_[bucket];
    buckets_[bucket] = static_cast<std::uint8_t>(groups_used_);
  }
  append(group, candidate);
  ++groups_used_;
  ++packets_used_;
  return true;
}

void Coalescer::write_headers(const Group& group) {
  const Candidate& first = group.first;
  const std::span<std::byte> out = std::span(headers_).first(first.headers);
  std::ranges::copy(first.bytes.first(first.headers), out.begin());
  const auto ip = out.subspan(options_.link_size);
  const std::size_t total = ip.size() + group.payload;
  set_ip_length(ip, total, first.v4);
  const auto transport = out.subspan(first.transport);
  const auto length = static_cast<std::uint16_t>(transport.size() + group.payload);
  Packet packet;
  (void)parse(first.bytes.subspan(options_.link_size), packet);
  const std::uint16_t pending =
      pseudo_header(packet.source(), packet.destination(), first.protocol, length).folded();
  if (first.protocol == kUdp) {
    header_at<UdpHeader>(transport).length = length;
    header_at<UdpHeader>(transport).checksum = pending;
  } else {
    header_at<TcpHeader>(transport).flags |= group.last_flags;
    header_at<TcpHeader>(transport).checksum = pending;
  }
}

Coalesced Coalescer::operator[](std::size_t i) {
  const Group& group = groups_.at(i);
  const Candidate& first = group.first;
  if (group.packets == 1) {
    parts_[0] = first.bytes;
    return {{}, 1, std::span(parts_).first(1)};
  }
  write_headers(group);
  std::size_t used = 0;
  parts_[used++] = std::span(headers_).first(first.headers);
  for (auto packet = group.begin; packet != kNone; packet = next_[packet]) {
    parts_[used++] = payloads_[packet];
  }
  VnetHeader header;
  header.flags = VnetHeader::kNeedsChecksum;
  header.gso_type = gso_type_of(first.protocol, first.v4);
  header.header_length = static_cast<std::uint16_t>(first.headers);
  header.gso_size = static_cast<std::uint16_t>(first.payload().size());
  header.checksum_start = static_cast<std::uint16_t>(first.transport);
  header.checksum_offset = static_cast<std::uint16_t>(
      first.protocol == kUdp ? offsetof(UdpHeader, checksum) : offsetof(TcpHeader, checksum));
  return {header, group.packets, std::span(parts_).first(used)};
}

}  // namespace hairpin::nat
