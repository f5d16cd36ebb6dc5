// The segment that asks for a connection: a SYN that answers nothing. Whoever wants to know whether
// a connection can be had before it is accepted must find it among all others.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "nat/packet.h"

namespace hairpin::nat {

struct Opening {
  Endpoint source;
  Endpoint destination;
  std::uint32_t sequence = 0;  ///< The same in all repetitions of one SYN.
};

/// Whether `packet` may be such a segment; false for nearly all packets, after a compare or two.
inline bool may_open(const Packet& packet) {
  constexpr std::uint8_t kMeaning =
      TcpHeader::kSyn | TcpHeader::kAck | TcpHeader::kRst | TcpHeader::kFin;
  if (packet.protocol() != kTcp || packet.is_fragment()) return false;
  const auto segment = packet.transport();
  if (segment.size() < sizeof(TcpHeader)) return false;
  return (header_at<const TcpHeader>(segment).flags & kMeaning) == TcpHeader::kSyn;
}

/// Its ends and number. Nothing for any other segment, for fragments, for a header that lies about
/// its length, and for addresses or ports that no connection has.
std::optional<Opening> opening_of(const Packet& packet);

}  // namespace hairpin::nat
