#include <csignal>

#include "app/signals.h"

namespace hairpin::app {

/// The C library's words for Ctrl-C and Ctrl-Break; it raises SIGTERM only for itself.
std::vector<int> ending_signals() {
  return {SIGINT, SIGBREAK, SIGTERM};
}

std::optional<int> reload_signal() {
  return std::nullopt;
}

}  // namespace hairpin::app
