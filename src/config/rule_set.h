// Rule-sets: conditions under a name, from the configuration or from a file.
#pragma once

#include "base/result.h"
#include "config/reader.h"
#include "rule/rule.h"

namespace hairpin::config {

std::vector<Field<RuleSet>> rule_set_fields();

/// A file's text in sing-box's source format, {"version": 3, "rules": [{"domain": […]}]}.
rule::RuleSet parse_rule_set(std::string_view text, Problems& problems);
/// The same as text, ready for people to read.
std::string source_of(const rule::RuleSet& set);

/// Either format, as its first bytes tell. `name` stands before what is wrong.
rule::RuleSet decode_rule_set(const std::string& name, std::string_view bytes, Problems& problems);

/// The bytes of a file. Fails beyond 64 MiB.
Result<> read_file(const std::string& path, std::string& out);

/// Reads the file of `set`, and compiles what is in it. On an error `set` is what it was.
void load_rule_set(RuleSet& set, Problems& problems);

/// Gives the inbounds the addresses of the rule-sets they name.
void gather_addresses(Config& config, Problems& problems);

/// Loads all rule-sets that are not loaded yet, and gives the inbounds the addresses of those they
/// name. What is wrong goes to `problems`, which need not be empty before.
void load_rule_sets(Config& config, Problems& problems);

}  // namespace hairpin::config
