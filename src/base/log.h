// One line per event to standard error or a file. Under systemd each line carries its priority.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace hairpin::log {

/// The names and the order of sing-box's levels; `panic` is the same as `fatal`.
enum class Level : std::uint8_t { trace, debug, info, warn, error, fatal, off };

std::optional<Level> parse_level(std::string_view name);

struct Options {
  Level level = Level::info;
  std::string file;       ///< Empty: standard error.
  bool timestamp = true;  ///< Left out under systemd, whose journal has its own.
  /// Not empty: lines go there, without time and level, from any thread.
  std::function<void(Level level, const std::string& line)> sink = {};
};

/// Call before threads begin. Without it nothing is written.
Result<> start(const Options& options);
void set_level(Level level);
Level level();

bool enabled(Level level);
void write(Level level, std::string_view line);

template <class... Args>
void at(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::warn, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  at(Level::error, format, std::forward<Args>(args)...);
}

}  // namespace hairpin::log
