#include "route/router.h"

#include <algorithm>

namespace hairpin::route {

namespace {

template <class T>
std::size_t index_of(const std::vector<T>& items, const std::string& tag) {
  const auto found = std::ranges::find(items, tag, &T::tag);
  return found == items.end() ? 0 : static_cast<std::size_t>(found - items.begin());
}

rule::FindSet find_in(const config::Config& config) {
  return [&config](const std::string& tag) -> std::shared_ptr<const rule::CompiledSet> {
    const auto found = std::ranges::find(config.route.rule_sets, tag, &config::RuleSet::tag);
    return found == config.route.rule_sets.end() ? nullptr : found->rules;
  };
}

}  // namespace

rule::Facts facts_of(const Flow& flow, const std::string& inbound) {
  rule::Facts facts;
  facts.network = flow.network;
  facts.source = flow.client;
  facts.destination = flow.destination;
  facts.has_address = flow.has_address();
  // An address that stands for a name has a family, and nothing else that could be asked for.
  if (flow.asked_for) facts.ip_version = flow.destination.address.family();
  facts.inbound = inbound;
  facts.domain = flow.domain;
  facts.addresses = flow.addresses;
  facts.protocol = flow.protocol;
  facts.process = flow.process.get();
  facts.source_mac = flow.source_mac;
  return facts;
}

std::string describe(const config::Config& config, const Decision& decision) {
  switch (decision.action) {
    case config::Action::route:
      return "outbound " + config.outbounds[decision.outbound].tag;
    case config::Action::reject:
      return "reject";
    case config::Action::drop:
      return "drop";
    case config::Action::hijack_dns:
      return "hijack-dns";
    case config::Action::bypass:
      return "bypass, or else outbound " + config.outbounds[decision.outbound].tag;
    case config::Action::resolve:
      return "resolve";
    case config::Action::sniff:
      return "sniff";
    case config::Action::options:
      return "route-options";
  }
  return "";
}

void apply(const config::FlowOptions& options, rule::Facts& facts) {
  if (options.override_address) {
    facts.destination.address = *options.override_address;
    facts.has_address = true;
  }
  if (options.override_port) facts.destination.port = *options.override_port;
}

Decision decide(const config::Config& config, const Router& router, rule::Facts facts) {
  Decision decision = router.decide(facts);
  while (!config::is_final(decision.action)) {
    apply(config.route.rules[*decision.rule].options, facts);
    decision = router.decide(facts, *decision.rule + 1);
  }
  return decision;
}

std::vector<Step> explain(const config::Config& config, rule::Facts facts) {
  std::vector<Step> steps;
  for (std::size_t i = 0; i < config.route.rules.size(); ++i) {
    steps.push_back({i, rule::explain(config.route.rules[i].rule, facts, find_in(config))});
    if (!steps.back().reason.holds) continue;
    if (config::is_final(config.route.rules[i].action)) break;
    apply(config.route.rules[i].options, facts);
  }
  return steps;
}

Router::Router(const config::Config& config) {
  const auto find = find_in(config);
  for (const config::RouteRule& rule : config.route.rules) {
    rules_.push_back({rule::CompiledRule(rule.rule, find), rule.action,
                      index_of(config.outbounds, rule.outbound)});
    asks_process_ |= rules_.back().rule.needs().process;
    asks_mac_ |= rules_.back().rule.needs().mac;
    if (!asks_more_ && !rules_.back().rule.needs().only_destination()) {
      asks_more_ = rules_.size() - 1;
    }
  }
  for (const config::TunInbound& inbound : config.inbounds) inbounds_.push_back(inbound.tag);
  if (!config.route.final.empty()) final_ = index_of(config.outbounds, config.route.final);
}

std::optional<std::size_t> Router::asks_more(std::size_t rule) const {
  return asks_more_ && *asks_more_ <= rule ? asks_more_ : std::nullopt;
}

bool Router::asks_content(const Flow& flow, std::size_t from) const {
  const rule::Facts facts = facts_of(flow, inbounds_[flow.inbound]);
  bool changed = false;  // by a rule whose options or addresses are not known here
  for (std::size_t i = from; i < rules_.size(); ++i) {
    const rule::Needs& needs = rules_[i].rule.needs();
    if ((needs.domain && flow.domain.empty()) || (needs.protocol && flow.protocol.empty())) {
      return true;
    }
    if (changed || !rules_[i].rule.matches(facts)) continue;
    if (config::is_final(rules_[i].action)) return false;
    changed = rules_[i].action != config::Action::sniff;
  }
  return false;
}

Decision Router::decide(const Flow& flow, std::size_t from) const {
  return decide(facts_of(flow, inbounds_[flow.inbound]), from);
}

Decision Router::decide(const rule::Facts& facts, std::size_t from) const {
  for (std::size_t i = from; i < rules_.size(); ++i) {
    if (!rules_[i].rule.matches(facts)) continue;
    return {rules_[i].action, rules_[i].outbound, i};
  }
  return {config::Action::route, final_, std::nullopt};
}

}  // namespace hairpin::route
