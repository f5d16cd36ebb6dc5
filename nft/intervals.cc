#include "nft/intervals.h"

#include <algorithm>

namespace hairpin::nft {

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

std::vector<Interval> intervals_of(const std::vector<Prefix>& prefixes) {
  std::vector<Interval> all;
  all.reserve(prefixes.size());
  for (const Prefix& prefix : prefixes) {
    all.push_back(
        {fill(prefix.address, prefix.length, false), fill(prefix.address, prefix.length, true)});
  }
  std::ranges::sort(all);
  std::vector<Interval> merged;
  for (const Interval& interval : all) {
    if (!merged.empty()) {
      const auto behind = next(merged.back().last);
      if (!behind || interval.first <= *behind) {
        merged.back().last = std::max(merged.back().last, interval.last);
        continue;
      }
    }
    merged.push_back(interval);
  }
  return merged;
}

std::string Interval::text() const {
  for (unsigned length = 0; length <= first.bits(); ++length) {
    if (fill(first, length, false) != first || fill(first, length, true) != last) continue;
    return length == first.bits() ? first.text() : Prefix{first, length}.text();
  }
  return first.text() + "-" + last.text();
}

}  // namespace hairpin::nft
