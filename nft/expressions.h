// Our statements in the kernel's words: what a rule consists of (linux/netfilter/nf_tables.h).
#pragma once

#include "nft/ruleset.h"

struct nftnl_rule;

namespace hairpin::nft {

/// `to` owns what is added.
void add_expressions(const Rule& rule, nftnl_rule* to);

}  // namespace hairpin::nft
