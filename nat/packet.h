// Parse once, then trust: `Packet::parse` is the only bounds check on what comes from a device.
#pragma once

#include <cstdint>
#include <span>

#include "base/address.h"
#include "nat/headers.h"

namespace hairpin::nat {

/// Why bytes are not a packet. `none` when they are.
enum class Malformed : std::uint8_t {
  none,
  empty,
  bad_version,
  short_header,    ///< Fewer bytes than the fixed IP header or its options.
  bad_length,      ///< The IP length field lies: less than the header, or more than was read.
  bad_extensions,  ///< An IPv6 extension header chain that runs out of the packet or never ends.
};

/// A view of one IP packet. Does not own; valid while the bytes are.
class Packet {
 public:
  /// Checks the IP header, the lengths and, for IPv6, the chain of extension headers. Bytes behind
  /// the length that the header claims are left out of `bytes()`. The transport header is not
  /// looked at: see `transport()`.
  static Malformed parse(std::span<std::byte> bytes, Packet& packet);

  Family family() const { return family_; }
  std::span<std::byte> bytes() const { return bytes_; }
  /// The last protocol of the chain: what the payload is. For a fragment, of the whole datagram.
  std::uint8_t protocol() const { return protocol_; }
  /// True for all fragments of a datagram but the first: `transport()` is then no header.
  bool is_later_fragment() const { return later_fragment_; }
  bool is_fragment() const { return fragment_; }
  /// The fragment header and what is behind it. Requires: IPv6, and is_fragment().
  std::span<std::byte> fragment_header() const { return bytes_.subspan(fragment_offset_); }
  /// Where the field that holds `protocol()` stands: ICMPv6 parameter problems point at it.
  std::size_t protocol_offset() const { return protocol_offset_; }
  /// What stands behind the IP header and its extensions; may be shorter than any header.
  std::span<std::byte> transport() const { return bytes_.subspan(transport_offset_); }

  IpAddr source() const { return IpAddr::from_wire(source_bytes()); }
  IpAddr destination() const { return IpAddr::from_wire(destination_bytes()); }
  std::span<std::byte> source_bytes() const {
    return family_ == Family::v4 ? bytes_.subspan(12, 4) : bytes_.subspan(8, 16);
  }
  std::span<std::byte> destination_bytes() const {
    return family_ == Family::v4 ? bytes_.subspan(16, 4) : bytes_.subspan(24, 16);
  }

 private:
  Malformed parse4(std::span<std::byte> bytes);
  Malformed parse6(std::span<std::byte> bytes);

  std::span<std::byte> bytes_;
  std::size_t transport_offset_ = 0;
  std::size_t protocol_offset_ = 0;
  std::size_t fragment_offset_ = 0;
  Family family_ = Family::v4;
  std::uint8_t protocol_ = 0;
  bool fragment_ = false;
  bool later_fragment_ = false;
};

}  // namespace hairpin::nat
