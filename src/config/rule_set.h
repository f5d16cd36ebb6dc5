// Rule-sets: so far of addresses only (ip_cidr), given in place or in a file of sing-box's source
// format, {"version": 3, "rules": [{"ip_cidr": […]}]}.
#pragma once

#include "config/reader.h"

namespace hairpin::config {

std::vector<Field<RuleSet>> rule_set_fields();

/// The addresses of a file's text.
std::vector<Prefix> parse_rule_set(std::string_view text, Problems& problems);

/// Reads the files of all rule-sets, and gives the inbounds the addresses of those they name. What
/// is wrong goes to `problems`, which need not be empty before.
void load_rule_sets(Config& config, Problems& problems);

}  // namespace hairpin::config
