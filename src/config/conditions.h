// The conditions of rules as JSON: in the configuration, and in rule-sets.
#pragma once

#include <array>
#include <vector>

#include "config/reader.h"
#include "rule/rule.h"

namespace hairpin::config {

/// Where a rule stands: what it may ask for.
enum class RuleContext : std::uint8_t {
  flow,      ///< route.rules
  headless,  ///< A rule-set.
  question,  ///< dns.rules
};

/// Reads "type", and returns the members that a rule of that type may have.
std::vector<Field<rule::Rule>> rule_fields(const Reader& reader, RuleContext context,
                                           rule::Rule& out);

/// Reads the rules in a logical one; nothing otherwise. Requires: `rule_fields` has seen it.
void read_inner_rules(const Reader& reader, RuleContext context, rule::Rule& out);

/// A whole rule that has nothing but conditions.
void read_rule(const Reader& reader, RuleContext context, rule::Rule& out);

/// One that decides something: what `fields` are about beside its conditions. `check` is given
/// those whose fields are right one by one.
template <class Out, std::size_t N>
void read_rule(const Reader& reader, RuleContext context, Out& out,
               const std::array<Field<Out>, N>& fields, void (*check)(const Reader&, const Out&)) {
  const std::size_t before = reader.problems().size();
  const auto conditions = rule_fields(reader, context, out.rule);
  read_parts(reader, Part<rule::Rule>{conditions, out.rule}, Part<Out>{fields, out});
  read_inner_rules(reader, context, out.rule);
  if (reader.problems().size() == before) check(reader, out);
}

/// The same as JSON again.
nlohmann::ordered_json to_json(const rule::Rule& rule);

/// All members there are, of both types: the manual page is held against them.
std::vector<Field<rule::Rule>> all_rule_fields(RuleContext context);

}  // namespace hairpin::config
