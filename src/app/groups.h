// Groups of outbounds as JSON: what others ask about them, and what they are told.
#pragma once

#include <nlohmann/json.hpp>

#include "outbound/group_state.h"

namespace hairpin::app {

/// {"groups": true} → {"groups": [{"tag", "type", "tcp", "udp", "outbounds": [{"tag", "delay",
/// "failed"}]}]}; {"select": TAG, "outbound": TAG} → {"selected": TAG}. Otherwise {"error": TEXT}.
nlohmann::json answer_about(const outbound::Groups& groups, const nlohmann::json& request);

}  // namespace hairpin::app
