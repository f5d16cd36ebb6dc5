// Rule-sets in sing-box's binary format (".srs"), versions 1 to 5.
//
//   "SRS", version, and as one zlib stream: the number of rules, and each rule. A rule is either
//   conditions (0, items that begin with their kind, 255, invert) or logical (1, mode, number of
//   rules, each rule, invert). Numbers of things are varints as protobuf's, all else is big-endian.
//   Addresses are ranges. Names are a trie, read from their ends, in LOUDS form: see names.h.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "rule/rule.h"

namespace hairpin::rule {

/// What a file may grow to when it is unpacked, and its names when they are written out.
inline constexpr std::size_t kMaxUnpacked = std::size_t{64} << 20;

bool is_binary(std::string_view bytes);

/// Errors tell what is wrong, and where: "rules[3]: …".
Result<RuleSet> read_binary(std::string_view bytes);

/// In the lowest version from `set.version` on downwards that has all that `set` says: version 1 is
/// never chosen by itself, as it is with sing-box. Fails when a member has no place in the format
/// (`inbound`, `rule_set`, …).
Result<std::string> write_binary(const RuleSet& set);

}  // namespace hairpin::rule
