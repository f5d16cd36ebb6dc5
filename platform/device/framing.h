// What a device hands out: IP packets or Ethernet frames, and the four bytes that some systems put
// before each. The library takes them away when it reads and puts them there when it writes, so
// that packets are the same everywhere; whoever wants such bytes gets Linux's everywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hairpin::device {

enum class Layer : std::uint8_t {
  ip,        ///< TUN: IPv4 and IPv6 packets.
  ethernet,  ///< TAP: frames without their checksum.
};

/// What stands on a descriptor before each packet.
enum class Framing : std::uint8_t {
  bare,         ///< Nothing: Linux with IFF_NO_PI, Android.
  information,  ///< Linux (linux/if_tun.h, struct tun_pi): 16 bits of flags, the EtherType.
  utun,         ///< macOS, iOS: 32 bits in network order, AF_INET or AF_INET6 of Darwin.
};

inline constexpr std::size_t kFramingSize = 4;
using FramingBytes = std::array<std::byte, kFramingSize>;

/// IANA EtherTypes.
inline constexpr std::uint16_t kEtherTypeIp4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeIp6 = 0x86dd;

/// What a packet is: of an IP packet by its version, of a frame what its header says. 0: neither
/// version, or too short.
std::uint16_t ether_type_of(std::span<const std::byte> packet, Layer layer);

/// What to put before a packet. Requires: framing is not `bare`.
FramingBytes framing_bytes(Framing framing, std::uint16_t ether_type);

/// What the bytes before a packet say that it is; 0 when they are no such bytes.
std::uint16_t ether_type_in(Framing framing, const FramingBytes& bytes);

}  // namespace hairpin::device
