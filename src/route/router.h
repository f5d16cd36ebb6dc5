// Which way a flow goes: the rules in their order, then the default. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "flow/flow.h"
#include "rule/explain.h"
#include "rule/matcher.h"

namespace hairpin::route {

struct Decision {
  config::Action action = config::Action::route;
  /// Index in Config::outbounds. Valid iff the action has an outbound.
  std::size_t outbound = 0;
  std::optional<std::size_t> rule;  ///< Index of the rule that matched; empty: the default.
};

/// What is known of `flow`; views of it and of `inbound`, its inbound's tag.
rule::Facts facts_of(const Flow& flow, const std::string& inbound);

/// "outbound proxy", "reject", …
std::string describe(const config::Config& config, const Decision& decision);

/// What a rule changes about a flow, as far as other rules can ask for it.
void apply(const config::FlowOptions& options, rule::Facts& facts);

/// What became of one rule on the way to a decision.
struct Step {
  std::size_t rule;
  rule::Reason reason;
};
class Router {
 public:
  /// Requires: a configuration that config::parse accepted, and whose rule-sets are loaded.
  explicit Router(const config::Config& config);

  /// Asks the rules from `from` on. An action that is not final is given back, too: when it has
  /// been done, the rules behind it are to be asked.
  Decision decide(const Flow& flow, std::size_t from = 0) const;
  Decision decide(const rule::Facts& facts, std::size_t from = 0) const;

  /// The first rule up to this one that asks for more than the destination (its address, port and
  /// network); empty: whatever goes there is decided as this flow was.
  std::optional<std::size_t> asks_more(std::size_t rule) const;

  /// Whether any rule asks for the local process.
  bool asks_process() const { return asks_process_; }
  /// Whether any rule asks for the client's hardware address.
  bool asks_mac() const { return asks_mac_; }
  /// Whether what sniffing may still find out about `flow` can matter to the rules from `from` on.
  bool asks_content(const Flow& flow, std::size_t from) const;

 private:
  struct Compiled {
    rule::CompiledRule rule;
    config::Action action;
    std::size_t outbound = 0;
  };

  std::vector<Compiled> rules_;
  std::vector<std::string> inbounds_;  ///< Tags.
  std::size_t final_ = 0;
  std::optional<std::size_t> asks_more_;  ///< The first rule of all.
  bool asks_process_ = false;
  bool asks_mac_ = false;
};

/// Each rule up to the one that decides, for people: as if sniffing had found what `facts` has of
/// it, and nothing else. Slow.
std::vector<Step> explain(const config::Config& config, rule::Facts facts);
/// The decision that comes of it.
Decision decide(const config::Config& config, const Router& router, rule::Facts facts);

}  // namespace hairpin::route
