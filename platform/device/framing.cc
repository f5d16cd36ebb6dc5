#include "platform/device/framing.h"

namespace hairpin::device {

namespace {

constexpr std::uint32_t kDarwinInet = 2;
constexpr std::uint32_t kDarwinInet6 = 30;

std::byte byte_at(unsigned value) {
  return static_cast<std::byte>(value & 0xffU);
}

unsigned word_at(std::span<const std::byte> bytes, std::size_t offset) {
  return std::to_integer<unsigned>(bytes[offset]) << 8U |
         std::to_integer<unsigned>(bytes[offset + 1]);
}

}  // namespace

std::uint16_t ether_type_of(std::span<const std::byte> packet, Layer layer) {
  constexpr std::size_t kTypeOffset = 12;  // behind both addresses of a frame
  if (layer == Layer::ethernet) {
    if (packet.size() < kTypeOffset + 2) return 0;
    return static_cast<std::uint16_t>(word_at(packet, kTypeOffset));
  }
  if (packet.empty()) return 0;
  switch (std::to_integer<unsigned>(packet[0]) >> 4U) {
    case 4:
      return kEtherTypeIp4;
    case 6:
      return kEtherTypeIp6;
    default:
      return 0;
  }
}

FramingBytes framing_bytes(Framing framing, std::uint16_t ether_type) {
  if (framing == Framing::utun) {
    const std::uint32_t family = ether_type == kEtherTypeIp6 ? kDarwinInet6 : kDarwinInet;
    return {std::byte{0}, std::byte{0}, std::byte{0}, byte_at(family)};
  }
  return {std::byte{0}, std::byte{0}, byte_at(static_cast<unsigned>(ether_type) >> 8U),
          byte_at(ether_type)};
}

std::uint16_t ether_type_in(Framing framing, const FramingBytes& bytes) {
  const unsigned high = word_at(bytes, 0);
  const unsigned low = word_at(bytes, 2);
  if (framing == Framing::information) return static_cast<std::uint16_t>(low);
  if (framing != Framing::utun || high != 0) return 0;
  if (low == kDarwinInet) return kEtherTypeIp4;
  return low == kDarwinInet6 ? kEtherTypeIp6 : 0;
}

}  // namespace hairpin::device
