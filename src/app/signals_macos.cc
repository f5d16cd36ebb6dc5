#include <csignal>

#include "app/signals.h"

namespace hairpin::app {

std::vector<int> ending_signals() {
  return {SIGINT, SIGTERM};
}

std::optional<int> reload_signal() {
  return SIGHUP;
}

}  // namespace hairpin::app
