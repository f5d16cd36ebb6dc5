// What a running hairpin is told by signals, where they are no more than numbers of signal(3).
#pragma once

#include <optional>
#include <vector>

namespace hairpin::app {

/// To end.
std::vector<int> ending_signals();
/// To read the configuration again; empty: there is none.
std::optional<int> reload_signal();

}  // namespace hairpin::app
