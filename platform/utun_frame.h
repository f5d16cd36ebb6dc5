// How utun devices of macOS and iOS frame packets: the address family, four bytes in network order,
// stands before each. The numbers are those of Darwin, on whatever system this is compiled.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

namespace hairpin::platform {

inline constexpr std::size_t kUtunPrefix = 4;  ///< Bytes.

/// What has to stand before `packet`. Empty: it is neither IPv4 nor IPv6.
std::optional<std::array<std::byte, kUtunPrefix>> utun_prefix(std::span<const std::byte> packet);

/// The packet in a frame. Empty: the frame is too short, its family is none of the two, or not that
/// of the packet.
std::span<std::byte> utun_packet(std::span<std::byte> frame);

}  // namespace hairpin::platform
