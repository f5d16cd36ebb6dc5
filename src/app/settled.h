// What a new configuration may change while flows run. Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "config/config.h"

namespace hairpin::app {

/// Takes over from `now` what was settled at the start, and does no harm if `next` does not ask for
/// it any more.
void keep_settled(const config::Config& now, config::Config& next);

/// What `now` has that cannot be changed into `next`; empty: nothing.
std::string fixed_difference(const config::Config& now, const config::Config& next);

/// Both: `next` as it can be taken over, or what stands in its way.
Result<> settle(const config::Config& now, config::Config& next);

}  // namespace hairpin::app
