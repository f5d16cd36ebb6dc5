#include "base/interval.h"

#include <algorithm>
#include <tuple>

namespace hairpin {

namespace {

/// `address` with all bits from `length` on cleared, or set.
IpAddr fill(const IpAddr& address, unsigned length, bool ones) {
  std::array<std::byte, 16> bytes{};
  for (std::size_t i = 0; i < address.size(); ++i) {
    const auto from = static_cast<unsigned>(i * 8);
    const unsigned kept = length <= from ? 0 : std::min(8U, length - from);
    const unsigned mask = 0xffU >> kept;
    const unsigned value = address.bytes()[i];
    bytes[i] = static_cast<std::byte>(ones ? value | mask : value & ~mask);
  }
  return IpAddr::from_wire(std::span(bytes).first(address.size()));
}

}  // namespace

std::optional<IpAddr> next(const IpAddr& address) {
  std::array<std::byte, 16> bytes{};
  std::ranges::copy(std::as_bytes(address.bytes()), bytes.begin());
  for (std::size_t i = address.size(); i-- > 0;) {
    bytes[i] = static_cast<std::byte>(std::to_integer<unsigned>(bytes[i]) + 1U);
    if (bytes[i] != std::byte{0}) return IpAddr::from_wire(std::span(bytes).first(address.size()));
  }
  return std::nullopt;
}

Interval interval_of(const Prefix& prefix) {
  return {fill(prefix.address, prefix.length, false), fill(prefix.address, prefix.length, true)};
}

std::vector<Interval> merged(std::vector<Interval> intervals) {
  std::ranges::sort(intervals, [](const Interval& a, const Interval& b) {
    const auto key = [](const Interval& i) { return std::tie(i.first, i.last); };
    if (a.first.family() != b.first.family()) return a.first.is_v4();
    return key(a) < key(b);
  });
  std::vector<Interval> all;
  for (const Interval& interval : intervals) {
    if (!all.empty() && all.back().last.family() == interval.first.family()) {
      const auto behind = next(all.back().last);
      if (!behind || interval.first <= *behind) {
        all.back().last = std::max(all.back().last, interval.last);
        continue;
      }
    }
    all.push_back(interval);
  }
  return all;
}

std::vector<Interval> intervals_of(const std::vector<Prefix>& prefixes) {
  std::vector<Interval> intervals;
  intervals.reserve(prefixes.size());
  for (const Prefix& prefix : prefixes) intervals.push_back(interval_of(prefix));
  return merged(std::move(intervals));
}

std::vector<Prefix> prefixes_of(const Interval& interval) {
  std::vector<Prefix> all;
  std::optional<IpAddr> at = interval.first;
  while (at && *at <= interval.last) {
    // The shortest prefix that begins here and ends inside.
    unsigned length = at->bits();
    while (length > 0 && fill(*at, length - 1, false) == *at &&
           fill(*at, length - 1, true) <= interval.last) {
      --length;
    }
    all.push_back({*at, length});
    at = next(fill(*at, length, true));
  }
  return all;
}

std::string Interval::text() const {
  for (unsigned length = 0; length <= first.bits(); ++length) {
    if (fill(first, length, false) != first || fill(first, length, true) != last) continue;
    return length == first.bits() ? first.text() : Prefix{first, length}.text();
  }
  return first.text() + "-" + last.text();
}

}  // namespace hairpin
