// Why a rule holds for a flow, or does not: for people. Slow.
//
// Each value of each member is made a rule of its own and matched as any rule is: what is told here
// cannot differ from what is done.
#pragma once

#include <string>
#include <vector>

#include "rule/matcher.h"

namespace hairpin::rule {

struct Reason {
  bool holds = false;
  /// If it holds, what made it: "domain_suffix example.com", "port 443". If not, the members of
  /// which no value does: "port", "domain or ip_cidr". Both in the order of `Conditions`; a rule of
  /// rules in brackets, an inverted one behind "not".
  std::string text;
};

Reason explain(const Rule& rule, const Facts& facts, const FindSet& find);

}  // namespace hairpin::rule
