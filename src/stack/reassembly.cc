#include "stack/reassembly.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace hairpin::stack {

namespace {

constexpr std::size_t kLargestPayload4 = 65535 - sizeof(nat::Ip4Header);
constexpr std::size_t kLargestPayload6 = 65535;  // RFC 8200, section 3

std::size_t header_size(Family family) {
  return family == Family::v4 ? sizeof(nat::Ip4Header) : sizeof(nat::Ip6Header);
}

}  // namespace

/// What one fragment says.
struct Reassembly::Piece {
  std::uint32_t id;
  std::size_t offset;
  bool more;
  std::uint8_t protocol;
  std::span<const std::byte> payload;

  static Piece of(const nat::Packet& fragment) {
    const auto bytes = std::span<const std::byte>(fragment.bytes());
    if (fragment.family() == Family::v4) {
      const auto& header = nat::header_at<const nat::Ip4Header>(bytes);
      const std::uint16_t field = header.fragment;
      return {header.id, std::size_t{8} * (field & nat::Ip4Header::kOffsetMask),
              (field & nat::Ip4Header::kMoreFragments) != 0, header.protocol, fragment.transport()};
    }
    const auto rest = std::span<const std::byte>(fragment.fragment_header());
    const auto& header = nat::header_at<const nat::Ip6FragmentHeader>(rest);
    const std::uint16_t field = header.offset_more;
    return {header.id, std::size_t{field} & 0xfff8U, (field & 1) != 0, header.next_header,
            rest.subspan(sizeof header)};
  }
};

bool Reassembly::Datagram::put(Range range) {
  const auto next = std::ranges::find_if(
      ranges, [&range](const Range& known) { return known.begin >= range.begin; });
  if (next != ranges.end() && next->begin < range.end) return false;
  if (next != ranges.begin() && std::prev(next)->end > range.begin) return false;
  ranges.insert(next, range);
  return true;
}

bool Reassembly::Datagram::is_whole() const {
  if (!end) return false;
  std::size_t at = 0;
  for (const Range& range : ranges) {
    if (range.begin != at) return false;
    at = range.end;
  }
  return at == *end;
}

std::optional<Reassembly::Whole> Reassembly::take(const nat::Packet& fragment,
                                                  Clock::time_point now) {
  while (!datagrams_.empty() && now - datagrams_.front().since > kPatience) {
    forget(datagrams_.begin());
  }
  const Piece piece = Piece::of(fragment);
  const std::size_t most = fragment.family() == Family::v4 ? kLargestPayload4 : kLargestPayload6;
  const Datagram::Range range{piece.offset, piece.offset + piece.payload.size()};
  // Only the last one may have a length that is no multiple of 8; none may be empty.
  if (range.begin == range.end || range.end > most ||
      (piece.more && piece.payload.size() % 8 != 0)) {
    ++dropped_;
    return std::nullopt;
  }
  const Key key{fragment.source(), fragment.destination(), piece.id,
                static_cast<std::uint8_t>(fragment.family() == Family::v4 ? piece.protocol : 0)};
  auto known = std::ranges::find(datagrams_, key, &Datagram::key);
  if (known == datagrams_.end()) {
    if (datagrams_.size() == kMostDatagrams) forget(datagrams_.begin());
    known = datagrams_.insert(datagrams_.end(), {key, now});
  }
  Datagram& datagram = *known;
  ++datagram.fragments;
  const bool twice = std::ranges::any_of(datagram.ranges, [&](const Datagram::Range& other) {
    return other.begin == range.begin && other.end == range.end;
  });
  if (twice) return std::nullopt;
  const bool beyond = datagram.end && (range.end > *datagram.end || !piece.more);
  const bool contradicts =
      !piece.more && !datagram.ranges.empty() && datagram.ranges.back().end > range.end;
  if (beyond || contradicts || !datagram.put(range)) {
    forget(known);
    return std::nullopt;
  }
  if (!piece.more) datagram.end = range.end;
  if (piece.offset == 0) datagram.protocol = piece.protocol;
  const std::size_t front = headroom_ + header_size(fragment.family());
  if (datagram.bytes.size() < front + range.end) datagram.bytes.resize(front + range.end);
  std::ranges::copy(piece.payload,
                    datagram.bytes.begin() + static_cast<std::ptrdiff_t>(front + range.begin));
  if (!datagram.is_whole()) return std::nullopt;
  auto whole = finish(datagram);
  datagrams_.erase(known);
  return whole;
}

std::optional<Reassembly::Whole> Reassembly::finish(Datagram& datagram) const {
  const auto packet = std::span(datagram.bytes).subspan(headroom_);
  if (datagram.key.source.is_v4()) {
    auto& header = nat::header_at<nat::Ip4Header>(packet);
    header = {};
    header.version_ihl = 0x45;
    header.total_length = static_cast<std::uint16_t>(packet.size());
    header.ttl = 64;
    header.protocol = datagram.protocol;
    std::memcpy(header.source.data(), datagram.key.source.bytes().data(), 4);
    std::memcpy(header.destination.data(), datagram.key.destination.bytes().data(), 4);
  } else {
    auto& header = nat::header_at<nat::Ip6Header>(packet);
    header = {};
    header.version_class_label = 0x60000000U;
    header.payload_length = static_cast<std::uint16_t>(packet.size() - sizeof header);
    header.next_header = datagram.protocol;
    header.hop_limit = 64;
    std::memcpy(header.source.data(), datagram.key.source.bytes().data(), 16);
    std::memcpy(header.destination.data(), datagram.key.destination.bytes().data(), 16);
  }
  return Whole{std::move(datagram.bytes), headroom_};
}

void Reassembly::forget(std::list<Datagram>::iterator which) {
  dropped_ += which->fragments;
  datagrams_.erase(which);
}

std::uint64_t Reassembly::take_dropped() {
  return std::exchange(dropped_, 0);
}

}  // namespace hairpin::stack
