// A table as text, in the words of nft(8): what `nft list table` prints once it is loaded, and what
// `nft -f` takes. For logs, dry runs and golden tests.
#pragma once

#include <string>

#include "nft/ruleset.h"

namespace hairpin::nft {

/// As nft(8) and the kernel name it.
const char* name_of(ChainType type);

std::string render(const Table& table);
std::string render(const Statement& statement);

}  // namespace hairpin::nft
