// Which interface leads out.
#pragma once

#include <string>
#include <vector>

#include "platform/interface.h"
#include "platform/routes.h"

namespace hairpin::host {

/// Of the interfaces that are up and have a carrier, the one with the default route of the lowest
/// metric; IPv4 decides between equals. Those in `ours` are not meant. Empty: none.
std::string choose_uplink(const std::vector<platform::FoundRoute>& routes,
                          const std::vector<platform::FoundInterface>& interfaces,
                          const std::vector<std::string>& ours);

/// The same, of the network namespace of the calling thread.
Result<std::string> find_uplink(const std::vector<std::string>& ours);

}  // namespace hairpin::host
