// Names of proxies. Once hairpin captures, questions for them would go through the proxies
// themselves: the first answers must be there before.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "platform/names.h"

namespace hairpin::app {

/// Those that this host connects to and asks its own resolver for, each once; none, where nothing
/// is captured. Pure.
std::vector<std::string> proxies_to_resolve(const config::Config& config);

/// Waits for the system's resolver. Error: one of them has no address.
Result<platform::Names> resolve_proxies(const std::vector<std::string>& hosts);

}  // namespace hairpin::app
