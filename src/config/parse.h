// From JSON text to a checked Config, with all that is wrong at once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/json.h"
#include "config/reader.h"

namespace hairpin::config {

/// Empty when `problems` is not.
std::optional<Config> parse(std::string_view text, Problems& problems);
std::optional<Config> parse_value(const nlohmann::json& json, Problems& problems);

/// All there are.
std::vector<FieldInfo> all_fields();

/// A mark: "0x2024", "8228".
std::optional<Mark> parse_mark(const std::string& text);

/// The value of "link".
std::optional<LinkKind> parse_link_kind(std::string_view text);
/// "gvisor", as other programs call their own stack, is "userspace".
std::optional<StackKind> parse_stack_kind(std::string_view text);
/// Of inbounds that do not say.
StackKind default_stack();
/// Whether routing can leave sockets alone by a mark on this system. Otherwise they have to be
/// bound to an interface.
bool marks_sockets();
/// "faithful" or "eager".
std::optional<Handshake> parse_handshake(std::string_view text);

}  // namespace hairpin::config
