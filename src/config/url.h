#pragma once

#include <optional>
#include <string_view>

#include "config/config.h"

namespace hairpin::config {

/// "http://…" or "https://…"; without a user's name.
std::optional<Url> parse_url(std::string_view text);

}  // namespace hairpin::config
