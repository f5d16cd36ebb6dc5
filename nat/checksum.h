// The Internet checksum (RFC 1071), whole and incremental (RFC 1624, equation 3).
//
// One's-complement addition commutes, so a packet's checksum stays right when words are exchanged
// within what it covers, or replaced by others with the same sum. The translator lives from that:
// it never calls anything in here. Only packets that we build are summed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.h"

namespace hairpin::nat {

/// What the checksum field of a transport header covers. A packet read from a TUN with a virtio
/// header may carry `pseudo_only`: the kernel has summed the pseudo header and leaves the rest to
/// whoever sends the packet on the wire. Treating one kind as the other corrupts the packet.
enum class Coverage : std::uint8_t { complete, pseudo_only };

/// A running one's-complement sum. Words are added in network order.
class Sum {
 public:
  /// `bytes` is taken as starting at an even offset; an odd last byte is padded with zero, so only
  /// the last call may have one.
  Sum& add(std::span<const std::byte> bytes);
  Sum& add(std::uint16_t word);
  Sum& add(const IpAddr& address);

  /// Folded to 16 bits, not complemented: what a pseudo_only field holds.
  std::uint16_t folded() const;
  /// Complemented: what a complete field holds.
  std::uint16_t complement() const { return static_cast<std::uint16_t>(~folded()); }

 private:
  std::uint64_t sum_ = 0;
};

/// The pseudo header of TCP, UDP and ICMPv6 (RFC 9293 3.1, RFC 8200 8.1).
Sum pseudo_header(const IpAddr& source, const IpAddr& destination, std::uint8_t protocol,
                  std::uint32_t length);

/// A complete checksum after the covered word `before` has become `after`.
std::uint16_t updated(std::uint16_t checksum, std::uint16_t before, std::uint16_t after);

}  // namespace hairpin::nat
