#include "nat/packet.h"

namespace hairpin::nat {

namespace {

/// RFC 8200 sets no limit; real chains have one or two headers. The limit bounds the walk.
constexpr int kMaxExtensionHeaders = 8;

bool is_extension(std::uint8_t protocol) {
  switch (protocol) {
    case kHopByHop:
    case kRouting:
    case kFragment:
    case kAuthentication:
    case kDestinationOptions:
    case kMobility:
      return true;
    default:
      return false;
  }
}

}  // namespace

Malformed Packet::parse(std::span<std::byte> bytes, Packet& packet) {
  packet = {};
  if (bytes.empty()) return Malformed::empty;
  switch (std::to_integer<unsigned>(bytes[0]) >> 4) {
    case 4:
      return packet.parse4(bytes);
    case 6:
      return packet.parse6(bytes);
    default:
      return Malformed::bad_version;
  }
}

Malformed Packet::parse4(std::span<std::byte> bytes) {
  if (bytes.size() < sizeof(Ip4Header)) return Malformed::short_header;
  const auto& ip = header_at<const Ip4Header>(bytes);
  const std::size_t header_size = std::size_t{ip.version_ihl & 0x0fU} * 4;
  if (header_size < sizeof(Ip4Header) || header_size > bytes.size()) return Malformed::short_header;
  const std::size_t total = ip.total_length;
  if (total < header_size || total > bytes.size()) return Malformed::bad_length;

  family_ = Family::v4;
  bytes_ = bytes.first(total);
  transport_offset_ = header_size;
  protocol_ = ip.protocol;
  protocol_offset_ = offsetof(Ip4Header, protocol);
  const std::uint16_t fragment = ip.fragment;
  later_fragment_ = (fragment & Ip4Header::kOffsetMask) != 0;
  fragment_ = later_fragment_ || (fragment & Ip4Header::kMoreFragments) != 0;
  return Malformed::none;
}

Malformed Packet::parse6(std::span<std::byte> bytes) {
  if (bytes.size() < sizeof(Ip6Header)) return Malformed::short_header;
  const auto& ip = header_at<const Ip6Header>(bytes);
  const std::size_t total = sizeof(Ip6Header) + ip.payload_length;
  if (total > bytes.size()) return Malformed::bad_length;

  family_ = Family::v6;
  bytes_ = bytes.first(total);
  transport_offset_ = sizeof(Ip6Header);
  protocol_ = ip.next_header;
  protocol_offset_ = offsetof(Ip6Header, next_header);

  for (int count = 0; is_extension(protocol_) && !later_fragment_; ++count) {
    const auto rest = transport();
    // Every extension header has at least eight bytes: next header, length, content.
    if (count == kMaxExtensionHeaders || rest.size() < 8) return Malformed::bad_extensions;
    std::size_t size = 8;
    const auto length = std::to_integer<std::size_t>(rest[1]);
    if (protocol_ == kFragment) {
      const std::uint16_t offset_more = header_at<const Ip6FragmentHeader>(rest).offset_more;
      later_fragment_ = offset_more >> 3 != 0;
      fragment_ = later_fragment_ || (offset_more & 1) != 0;
      fragment_offset_ = transport_offset_;
    } else if (protocol_ == kAuthentication) {
      size = (length + 2) * 4;  // RFC 4302, 2.2: the one header that counts in words of four
    } else {
      size = (length + 1) * 8;
    }
    if (size < 8 || size > rest.size()) return Malformed::bad_extensions;
    protocol_ = std::to_integer<std::uint8_t>(rest[0]);
    protocol_offset_ = transport_offset_;
    transport_offset_ += size;
  }
  return Malformed::none;
}

}  // namespace hairpin::nat
