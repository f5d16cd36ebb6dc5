// Sets of addresses, as lists of prefixes.
#pragma once

#include <vector>

#include "base/address.h"

namespace hairpin::host {

/// What is in one of `these` and in none of `those`, as few prefixes as that takes: a prefix that
/// is partly in the other set is halved until its parts are in or out. Of both families; sorted.
std::vector<Prefix> subtract(std::vector<Prefix> these, const std::vector<Prefix>& those);

}  // namespace hairpin::host
