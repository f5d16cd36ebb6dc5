// JSON as people write it: comments and trailing commas are accepted, repeated keys are not.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace hairpin::config {

/// One thing wrong with a configuration, ready to be printed behind the name of its source.
struct Problem {
  std::string where;    ///< "12:7" (line and column) or "inbounds[0].mtu".
  std::string message;  ///< What is wrong, what was expected, the nearest known name.
};
using Problems = std::vector<Problem>;

/// Parses `text`. On a syntax error `problems` gets it with line and column and the value is null.
nlohmann::json parse_json(std::string_view text, Problems& problems);

/// Comments and trailing commas replaced by blanks, so that every offset stays what it was.
std::string without_comments(std::string_view text);

}  // namespace hairpin::config
