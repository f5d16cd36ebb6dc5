// Rules compiled for matching.
//
// How it works
//
// A rule is not just true or false: a rule-set that a rule names says some of what the rule says,
// and its address may stand for the rule's. So matching yields states: which of the four groups
// (source address, source port, destination address, destination port) have been found to hold on
// the way. A rule-set begins with the groups that the rule itself has fulfilled, tries each of its
// own rules, and gives back the states of all that hold; the rule then holds if there is a state in
// which all the groups that it asks for are fulfilled. With four groups there are 16 states, and a
// set of them is a number of 16 bits.
//
// Addresses and names are looked up in sets whose cost does not depend on their size
// (address_set.h, domain_set.h); regular expressions of one rule are matched all at once, by RE2,
// in time that is linear in the name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "rule/address_set.h"
#include "rule/domain_set.h"
#include "rule/facts.h"
#include "rule/rule.h"

namespace hairpin::rule {

/// What of a flow rules ask for beyond its ends.
struct Needs {
  bool domain = false;
  bool addresses = false;
  bool process = false;
  bool mac = false;
  bool protocol = false;  ///< That sniffing finds.
  bool client = false;    ///< The source's address or port.

  /// Whether all flows to one destination get the same answer.
  bool only_destination() const { return !(domain || process || mac || protocol || client); }
};

class CompiledRule;

/// The rules of one rule-set, compiled. Shared by all rules that name it, and never changed.
class CompiledSet {
 public:
  explicit CompiledSet(const RuleSet& set);
  CompiledSet(CompiledSet&&) noexcept;
  ~CompiledSet();

  bool matches(const Facts& facts) const;
  /// Of the first rule that holds.
  std::optional<std::size_t> first_match(const Facts& facts) const;
  std::size_t memory() const;  ///< Bytes of the sets of addresses and names.
  const Needs& needs() const { return needs_; }

 private:
  friend class CompiledRule;
  std::vector<CompiledRule> rules_;
  Needs needs_;
};

/// Finds the rule-set of a tag. Null: there is none, and what asks for it never holds.
using FindSet = std::function<std::shared_ptr<const CompiledSet>(const std::string& tag)>;

class CompiledRule {
 public:
  /// Requires: regular expressions that `expression_problem` finds nothing wrong with.
  CompiledRule(const Rule& rule, const FindSet& find);
  CompiledRule(CompiledRule&&) noexcept;
  ~CompiledRule();

  bool matches(const Facts& facts) const;
  const Needs& needs() const { return needs_; }
  std::size_t memory() const;

 private:
  friend class CompiledSet;
  /// The groups that are known to hold, as a number below 16.
  using State = std::uint8_t;
  /// Bit n: state n.
  using States = std::uint16_t;

  States match(const Facts& facts, State base, bool ip_cidr_is_source) const;
  States match_conditions(const Facts& facts, State base, bool ip_cidr_is_source) const;
  States match_rules(const Facts& facts, State base, bool ip_cidr_is_source) const;

  struct Parts;
  std::unique_ptr<const Parts> parts_;
  Needs needs_;
};

}  // namespace hairpin::rule
