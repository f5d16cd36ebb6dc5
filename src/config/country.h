// Addresses of countries from a database of MaxMind's ("MaxMind DB File Format", version 2).
#pragma once

#include <string>
#include <vector>

#include "base/interval.h"
#include "base/result.h"

namespace hairpin::config {

/// All addresses whose entry has one of these codes as its country ("DE"). Fails when there is
/// none, and when the file is no such database or is damaged.
Result<std::vector<Interval>> read_countries_of(const std::string& path,
                                                const std::vector<std::string>& codes);

}  // namespace hairpin::config
