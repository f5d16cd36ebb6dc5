#include "platform/utun_frame.h"

namespace hairpin::platform {

namespace {

constexpr std::byte kInet{2};    // AF_INET
constexpr std::byte kInet6{30};  // AF_INET6

}  // namespace

std::optional<std::array<std::byte, kUtunPrefix>> utun_prefix(std::span<const std::byte> packet) {
  if (packet.empty()) return std::nullopt;
  const unsigned version = std::to_integer<unsigned>(packet[0]) >> 4;
  if (version != 4 && version != 6) return std::nullopt;
  return std::array{std::byte{}, std::byte{}, std::byte{}, version == 4 ? kInet : kInet6};
}

std::span<std::byte> utun_packet(std::span<std::byte> frame) {
  if (frame.size() <= kUtunPrefix) return {};
  const auto packet = frame.subspan(kUtunPrefix);
  const auto expected = utun_prefix(packet);
  for (std::size_t i = 0; i < kUtunPrefix; ++i) {
    if (!expected || frame[i] != (*expected)[i]) return {};
  }
  return packet;
}

}  // namespace hairpin::platform
