// Prefixes as intervals of addresses, and back.
#pragma once

#include <vector>

#include "base/address.h"

namespace hairpin {

struct Interval {
  IpAddr first;
  IpAddr last;

  /// "10.0.0.0/8", "192.0.2.1", "10.0.0.0-10.0.2.255", as nft(8) prints elements.
  std::string text() const;
  friend auto operator<=>(const Interval&, const Interval&) = default;
};

Interval interval_of(const Prefix& prefix);

/// The same addresses in as few intervals as there can be, in order, IPv4 first: what overlaps or
/// touches is one. Requires: both ends of each are of one family.
std::vector<Interval> merged(std::vector<Interval> intervals);
std::vector<Interval> intervals_of(const std::vector<Prefix>& prefixes);

/// The same addresses in as few prefixes as there can be, in order.
std::vector<Prefix> prefixes_of(const Interval& interval);

/// The address behind; empty after the last there is.
std::optional<IpAddr> next(const IpAddr& address);

}  // namespace hairpin
