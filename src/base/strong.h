// Numbers that must not be mixed up: a mark is not a port, a table is not a priority.
#pragma once

#include <compare>
#include <cstdint>

namespace hairpin {

template <class T, class Tag>
class Strong {
 public:
  constexpr Strong() = default;
  constexpr explicit Strong(T value) : value_(value) {}
  constexpr T value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != T{}; }
  friend constexpr auto operator<=>(Strong, Strong) = default;

 private:
  T value_{};
};

using Mark = Strong<std::uint32_t, struct MarkTag>;              ///< SO_MARK, fwmark; 0 is none.
using TableId = Strong<std::uint32_t, struct TableTag>;          ///< A kernel routing table.
using RulePriority = Strong<std::uint32_t, struct PriorityTag>;  ///< Of an `ip rule`; low is first.
using IfIndex = Strong<int, struct IfIndexTag>;                  ///< 0 is none.

/// Users, from the first to the last, both meant.
struct UidRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;

  friend constexpr auto operator<=>(const UidRange&, const UidRange&) = default;
};

}  // namespace hairpin
