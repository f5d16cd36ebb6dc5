// Which way a flow goes: the rules in their order, then the default. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "flow/flow.h"

namespace hairpin::route {

struct Decision {
  config::Action action = config::Action::route;
  std::size_t outbound = 0;         ///< Index in Config::outbounds. Valid iff action is `route`.
  std::optional<std::size_t> rule;  ///< Index of the rule that matched; empty: the default.
};

class Router {
 public:
  /// Requires: a configuration that config::parse accepted.
  explicit Router(const config::Config& config);

  Decision decide(const Flow& flow) const;

 private:
  struct Compiled {
    config::RouteRule rule;
    std::vector<std::size_t> inbounds;
    std::size_t outbound = 0;
  };
  static bool matches(const Compiled& compiled, const Flow& flow);

  std::vector<Compiled> rules_;
  std::size_t final_ = 0;
};

}  // namespace hairpin::route
