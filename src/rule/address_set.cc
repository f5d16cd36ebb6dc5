#include "rule/address_set.h"

#include <algorithm>
#include <bit>
#include <deque>

namespace hairpin::rule {

namespace {

/// An address as a number: 128 bits, of which IPv4 uses the lower 32.
struct Number {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend auto operator<=>(const Number&, const Number&) = default;

  /// The six bits from `shift` on, counted from the least.
  unsigned branch(unsigned shift) const {
    const std::uint64_t bits = shift >= 64  ? high >> (shift - 64)
                               : shift == 0 ? low
                                            : low >> shift | high << (64 - shift);
    return static_cast<unsigned>(bits & 63);
  }
  /// With the bits below `shift` set.
  Number filled(unsigned shift) const {
    if (shift >= 64) return {high | ones(shift - 64), ~std::uint64_t{0}};
    return {high, low | ones(shift)};
  }
  /// With `branch` put in at `shift`, where there are zeros.
  Number with(unsigned branch, unsigned shift) const {
    if (shift >= 64) return {high | std::uint64_t{branch} << (shift - 64), low};
    const std::uint64_t over = shift == 0 ? 0 : std::uint64_t{branch} >> (64 - shift);
    return {high | over, low | std::uint64_t{branch} << shift};
  }

 private:
  static std::uint64_t ones(unsigned count) {
    return count == 0 ? 0 : ~std::uint64_t{0} >> (64 - count);
  }
};

Number number(const IpAddr& address) {
  Number result;
  for (const std::uint8_t byte : address.bytes()) {
    result.high = result.high << 8 | result.low >> 56;
    result.low = result.low << 8 | byte;
  }
  return result;
}

constexpr unsigned kStride = 6;

/// Two bits remain for the root.
constexpr unsigned first_shift(unsigned width) {
  return width - 2;
}

}  // namespace

AddressSet::Trie AddressSet::build(const std::vector<Interval>& intervals, unsigned width) {
  struct Range {
    Number first;
    Number last;
  };
  std::vector<Range> ranges;
  ranges.reserve(intervals.size());
  for (const Interval& interval : intervals) {
    if (interval.first.bits() != width) continue;
    ranges.push_back({number(interval.first), number(interval.last)});
  }
  Trie trie;
  if (ranges.empty()) return trie;
  // Breadth first, so that the children of one node are neighbours.
  struct Task {
    Number begin;  ///< The first address below the node.
    unsigned shift;
    std::size_t from, to;  ///< The ranges that reach into it.
  };
  std::deque<Task> tasks{{Number{}, first_shift(width), 0, ranges.size()}};
  while (!tasks.empty()) {
    const Task task = tasks.front();
    tasks.pop_front();
    // What waits in front of this node's children are its right neighbours and their elders'.
    Node node{0, 0, static_cast<std::uint32_t>(trie.size() + 1 + tasks.size())};
    const unsigned branches = task.shift == first_shift(width) ? 4 : 64;
    std::size_t at = task.from;
    for (unsigned branch = 0; branch < branches && at < task.to; ++branch) {
      const Number begin = task.begin.with(branch, task.shift);
      const Number end = begin.filled(task.shift);
      while (at < task.to && ranges[at].last < begin) ++at;
      if (at == task.to || ranges[at].first > end) continue;
      if (ranges[at].first <= begin && ranges[at].last >= end) {
        node.full |= std::uint64_t{1} << branch;
        continue;
      }
      std::size_t behind = at;
      while (behind < task.to && ranges[behind].first <= end) ++behind;
      node.part |= std::uint64_t{1} << branch;
      tasks.push_back({begin, task.shift - kStride, at, behind});
    }
    trie.push_back(node);
  }
  trie.shrink_to_fit();
  return trie;
}

AddressSet::AddressSet(std::vector<Interval> intervals) {
  const auto all = merged(std::move(intervals));
  v4_ = build(all, 32);
  v6_ = build(all, 128);
}

bool AddressSet::contains(const IpAddr& address) const {
  const Trie& trie = address.is_v4() ? v4_ : v6_;
  if (trie.empty()) return false;
  const Number key = number(address);
  const Node* node = trie.data();
  unsigned shift = first_shift(address.bits());
  for (;;) {
    const unsigned branch =
        shift == first_shift(address.bits()) ? key.branch(shift) & 3 : key.branch(shift);
    const std::uint64_t bit = std::uint64_t{1} << branch;
    if ((node->part & bit) == 0) return (node->full & bit) != 0;
    node = &trie[node->children + static_cast<unsigned>(std::popcount(node->part & (bit - 1)))];
    shift -= kStride;
  }
}

std::size_t AddressSet::memory() const {
  return (v4_.capacity() + v6_.capacity()) * sizeof(Node);
}

}  // namespace hairpin::rule
