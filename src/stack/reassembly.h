// Puts datagrams together that have come in fragments (RFC 791, 3.2; RFC 8200, 4.5), for packets
// that no kernel has reassembled.
//
// How it works
//
// Bytes are put where they belong as they come. A datagram is whole when it is known where it ends
// and nothing is missing before. Fragments that overlap are an attack or an error: the datagram is
// forgotten then (RFC 5722), but for one that has come twice. What is not whole after 30 seconds is
// forgotten, too, and so is the oldest when there are too many.
//
// All fragments of a datagram come from one queue of a device: the kernel spreads them by their
// addresses.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "nat/packet.h"

namespace hairpin::stack {

/// For one thread.
class Reassembly {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr auto kPatience = std::chrono::seconds(30);
  static constexpr std::size_t kMostDatagrams = 64;

  /// A whole packet, with a plain header, behind `headroom` bytes that may be written.
  struct Whole {
    std::vector<std::byte> bytes;
    std::size_t headroom;
    std::span<std::byte> packet() { return std::span(bytes).subspan(headroom); }
  };
  explicit Reassembly(std::size_t headroom) : headroom_(headroom) {}

  /// Requires: is_fragment(). Nothing as long as something is missing.
  std::optional<Whole> take(const nat::Packet& fragment, Clock::time_point now);
  /// Fragments that led to nothing, since the last call.
  std::uint64_t take_dropped();

 private:
  struct Key {
    IpAddr source;
    IpAddr destination;
    std::uint32_t id;
    std::uint8_t protocol;  ///< 0 with IPv6, where it is not part of the key.
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Datagram {
    Key key;
    Clock::time_point since;
    std::vector<std::byte> bytes = {};  ///< Headroom, header, and payload as far as it has come.
    struct Range {
      std::size_t begin, end;
    };
    std::vector<Range> ranges = {};  ///< Of the payload, in order, none empty.
    std::optional<std::size_t> end = {};
    std::uint8_t protocol = 0;
    std::uint64_t fragments = 0;

    bool put(Range range);
    bool is_whole() const;
  };
  struct Piece;

  std::optional<Whole> finish(Datagram& datagram) const;
  void forget(std::list<Datagram>::iterator which);

  std::size_t headroom_;
  std::list<Datagram> datagrams_;  ///< The oldest first.
  std::uint64_t dropped_ = 0;
};

}  // namespace hairpin::stack
