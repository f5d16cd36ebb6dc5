// Header layouts as they stand on the wire. All members are bytes, so a header can be laid over any
// offset of a buffer that is long enough; `header_at` is the only place that does it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "nat/wire.h"

namespace hairpin::nat {

/// IANA protocol numbers, which IPv6 shares as next-header values.
enum Protocol : std::uint8_t {
  kHopByHop = 0,
  kIcmp4 = 1,
  kTcp = 6,
  kUdp = 17,
  kRouting = 43,
  kFragment = 44,
  kAuthentication = 51,
  kIcmp6 = 58,
  kNoNext = 59,
  kDestinationOptions = 60,
  kMobility = 135,
};

struct Ip4Header {  // RFC 791
  std::uint8_t version_ihl;
  std::uint8_t tos;
  be16 total_length;
  be16 id;
  be16 fragment;  ///< Flags (3 bits) and offset in units of 8 bytes.
  std::uint8_t ttl;
  std::uint8_t protocol;
  be16 checksum;
  std::array<std::byte, 4> source;
  std::array<std::byte, 4> destination;

  static constexpr std::uint16_t kDontFragment = 0x4000;
  static constexpr std::uint16_t kMoreFragments = 0x2000;
  static constexpr std::uint16_t kOffsetMask = 0x1fff;
};
static_assert(sizeof(Ip4Header) == 20 && alignof(Ip4Header) == 1);

struct Ip6Header {  // RFC 8200
  be32 version_class_label;
  be16 payload_length;
  std::uint8_t next_header;
  std::uint8_t hop_limit;
  std::array<std::byte, 16> source;
  std::array<std::byte, 16> destination;
};
static_assert(sizeof(Ip6Header) == 40 && alignof(Ip6Header) == 1);

struct Ip6FragmentHeader {  // RFC 8200, 4.5
  std::uint8_t next_header;
  std::uint8_t reserved;
  be16 offset_more;  ///< Offset in bytes (a multiple of 8), bit 0: more fragments.
  be32 id;
};
static_assert(sizeof(Ip6FragmentHeader) == 8 && alignof(Ip6FragmentHeader) == 1);

struct TcpHeader {  // RFC 9293
  be16 source_port;
  be16 destination_port;
  be32 sequence;
  be32 acknowledgement;
  std::uint8_t offset;  ///< High four bits: header length in units of 4 bytes.
  std::uint8_t flags;
  be16 window;
  be16 checksum;
  be16 urgent;

  enum Flag : std::uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16 };
};
static_assert(sizeof(TcpHeader) == 20 && alignof(TcpHeader) == 1);

struct UdpHeader {  // RFC 768
  be16 source_port;
  be16 destination_port;
  be16 length;
  be16 checksum;
};
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);

struct IcmpHeader {  // RFC 792, RFC 4443
  std::uint8_t type;
  std::uint8_t code;
  be16 checksum;
  be32 rest;

  enum Type : std::uint8_t {
    kEchoReply4 = 0,
    kUnreachable4 = 3,
    kEchoRequest4 = 8,
    kUnreachable6 = 1,
    kEchoRequest6 = 128,
    kEchoReply6 = 129,
  };
};
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

/// Requires: `bytes` is at least as long as the header.
template <class Header>
Header& header_at(std::span<std::byte> bytes) {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<Header*>(bytes.data());
}
template <class Header>
const Header& header_at(std::span<const std::byte> bytes) {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<const Header*>(bytes.data());
}

}  // namespace hairpin::nat
