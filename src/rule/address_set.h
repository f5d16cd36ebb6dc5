// A set of addresses whose question costs the same for ten prefixes and for a million.
//
// How it works
//
// A trie over the bits of an address, six at a time (two at the root, so that 32 and 128 come out
// even). A node knows of each of its 64 branches whether all of it belongs to the set, or a part of
// it; the partial ones have nodes of their own, which lie side by side: the one for a branch is
// found by counting the bits before it. (Asai, Ohara: Poptrie, SIGCOMM 2015, without its leaves: a
// set has nothing to tell but yes.) A question reads at most 6 nodes for IPv4 and 22 for IPv6, as a
// rule 4 and 7, of 24 bytes each.
#pragma once

#include <cstdint>
#include <vector>

#include "base/interval.h"

namespace hairpin::rule {

class AddressSet {
 public:
  AddressSet() = default;  ///< Empty.
  /// In any order, of both families; may overlap.
  explicit AddressSet(std::vector<Interval> intervals);

  bool contains(const IpAddr& address) const;
  bool empty() const { return v4_.empty() && v6_.empty(); }
  std::size_t memory() const;  ///< Bytes.

 private:
  struct Node {
    std::uint64_t full = 0;  ///< Bit n: all of branch n.
    std::uint64_t part = 0;  ///< Bit n: some of it; mutually exclusive.
    std::uint32_t children = 0;
  };
  using Trie = std::vector<Node>;  ///< The root first.

  static Trie build(const std::vector<Interval>& intervals, unsigned width);

  Trie v4_;
  Trie v6_;
};

}  // namespace hairpin::rule
