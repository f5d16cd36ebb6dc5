#include "rule/rule.h"

#include <algorithm>
#include <iterator>

namespace hairpin::rule {

namespace {

void collect(const std::vector<Rule>& rules, std::vector<Interval>& all) {
  for (const Rule& rule : rules) {
    std::ranges::copy(rule.conditions.ip_cidr, std::back_inserter(all));
    collect(rule.rules, all);
  }
}

}  // namespace

std::optional<PortRange> parse_port_range(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || text.size() < 2) return std::nullopt;
  const auto number = [](std::string_view digits, std::uint64_t otherwise) {
    return digits.empty() ? std::optional(otherwise) : parse_number(digits, 65535);
  };
  const auto first = number(text.substr(0, colon), 0);
  const auto last = number(text.substr(colon + 1), 65535);
  if (!first || !last || *first > *last) return std::nullopt;
  return PortRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

std::string text_of(const PortRange& range) {
  return std::to_string(range.first) + ":" + std::to_string(range.last);
}

bool is_empty(const Conditions& conditions) {
  return conditions == Conditions{};
}

std::vector<Interval> addresses_of(const RuleSet& set) {
  std::vector<Interval> all;
  collect(set.rules, all);
  return merged(std::move(all));
}

}  // namespace hairpin::rule
