#include "host/prefixes.h"

#include <algorithm>
#include <array>

namespace hairpin::host {

namespace {

/// The lower or the upper half. Requires: the prefix has more than one address.
Prefix half_of(const Prefix& whole, bool upper) {
  std::array<std::byte, 16> bytes{};
  const auto from = std::as_bytes(whole.address.bytes());
  std::ranges::copy(from, bytes.begin());
  const std::byte bit{static_cast<unsigned char>(0x80U >> (whole.length % 8))};
  if (upper) bytes[whole.length / 8] |= bit;
  return {IpAddr::from_wire(std::span(bytes).first(from.size())), whole.length + 1};
}

/// The network: without the bits of a host.
Prefix network_of(const Prefix& prefix) {
  std::array<std::byte, 16> bytes{};
  const auto from = std::as_bytes(prefix.address.bytes());
  std::ranges::copy(from, bytes.begin());
  for (std::size_t bit = prefix.length; bit < prefix.address.bits(); ++bit) {
    bytes[bit / 8] &= ~std::byte{static_cast<unsigned char>(0x80U >> (bit % 8))};
  }
  return {IpAddr::from_wire(std::span(bytes).first(from.size())), prefix.length};
}

bool covers(const Prefix& outer, const Prefix& inner) {
  return outer.length <= inner.length && outer.contains(inner.address);
}

void keep_rest(const Prefix& whole, const std::vector<Prefix>& those, std::vector<Prefix>& rest) {
  std::vector<Prefix> inside;
  for (const Prefix& other : those) {
    if (covers(other, whole)) return;
    if (covers(whole, other)) inside.push_back(other);
  }
  if (inside.empty()) return rest.push_back(whole);
  for (const bool upper : {false, true}) keep_rest(half_of(whole, upper), inside, rest);
}

}  // namespace

std::vector<Prefix> subtract(std::vector<Prefix> these, const std::vector<Prefix>& those) {
  for (Prefix& prefix : these) prefix = network_of(prefix);
  // The wider ones first, so that what is in them already is not said twice.
  std::ranges::sort(these, {}, [](const Prefix& prefix) { return prefix.length; });
  std::vector<Prefix> distinct;
  for (const Prefix& prefix : these) {
    const bool said = std::ranges::any_of(
        distinct, [&prefix](const Prefix& other) { return covers(other, prefix); });
    if (!said) distinct.push_back(prefix);
  }
  std::vector<Prefix> rest;
  for (const Prefix& prefix : distinct) keep_rest(prefix, those, rest);
  std::ranges::sort(rest);
  return rest;
}

}  // namespace hairpin::host
