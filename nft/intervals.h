// Prefixes as the intervals that an nftables set holds.
#pragma once

#include <vector>

#include "base/address.h"

namespace hairpin::nft {

struct Interval {
  IpAddr first;
  IpAddr last;

  /// "10.0.0.0/8", "192.0.2.1", "10.0.0.0-10.0.2.255", as nft(8) prints elements.
  std::string text() const;
  friend auto operator<=>(const Interval&, const Interval&) = default;
};

/// The same addresses in as few intervals as there can be, in order: what overlaps or touches is
/// one, as the kernel demands. Requires: all of one family.
std::vector<Interval> intervals_of(const std::vector<Prefix>& prefixes);

/// The address behind; empty after the last there is.
std::optional<IpAddr> next(const IpAddr& address);

}  // namespace hairpin::nft
