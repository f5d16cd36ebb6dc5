// What a configuration asks for that only Linux has. Pure.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace hairpin::app {

/// One line for each field: where, what, and the cure.
std::vector<std::string> lacks(const config::Config& config);

/// The destinations that are routed to an inbound's interface, where routes are all there is: those
/// asked for, without those excluded; the default route is two halves, so that another one may
/// stay.
std::vector<Prefix> captured(const config::TunInbound& inbound);

}  // namespace hairpin::app
