#include "route/router.h"

#include <algorithm>

namespace hairpin::route {

namespace {

template <class T>
std::size_t index_of(const std::vector<T>& items, const std::string& tag) {
  const auto found = std::ranges::find(items, tag, &T::tag);
  return found == items.end() ? 0 : static_cast<std::size_t>(found - items.begin());
}

bool in_any(const std::vector<Prefix>& prefixes, const IpAddr& address) {
  return std::ranges::any_of(prefixes,
                             [&](const Prefix& prefix) { return prefix.contains(address); });
}

/// A kind of condition that is not given holds.
bool address_holds(const std::vector<Prefix>& prefixes, bool is_private, const IpAddr& address) {
  if (prefixes.empty() && !is_private) return true;
  return in_any(prefixes, address) || (is_private && address.is_private());
}

bool port_holds(const std::vector<config::PortRange>& ranges, std::uint16_t port) {
  return ranges.empty() || std::ranges::any_of(ranges, [&](const config::PortRange& range) {
           return range.first <= port && port <= range.last;
         });
}

template <class T>
bool listed(const std::vector<T>& values, const T& value) {
  return values.empty() || std::ranges::find(values, value) != values.end();
}

}  // namespace

Router::Router(const config::Config& config) {
  for (const config::RouteRule& rule : config.route.rules) {
    Compiled compiled{rule, {}, index_of(config.outbounds, rule.outbound)};
    for (const std::string& tag : rule.inbound) {
      compiled.inbounds.push_back(index_of(config.inbounds, tag));
    }
    rules_.push_back(std::move(compiled));
  }
  if (!config.route.final.empty()) final_ = index_of(config.outbounds, config.route.final);
}

bool Router::matches(const Compiled& compiled, const Flow& flow) {
  const config::RouteRule& rule = compiled.rule;
  const bool all =
      listed(compiled.inbounds, flow.inbound) && listed(rule.network, flow.network) &&
      (!rule.ip_version || *rule.ip_version == flow.destination.address.family()) &&
      address_holds(rule.ip_cidr, rule.ip_is_private, flow.destination.address) &&
      address_holds(rule.source_ip_cidr, rule.source_ip_is_private, flow.client.address) &&
      port_holds(rule.port, flow.destination.port) &&
      port_holds(rule.source_port, flow.client.port);
  return all != rule.invert;
}

Decision Router::decide(const Flow& flow) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (!matches(rules_[i], flow)) continue;
    return {rules_[i].rule.action, rules_[i].outbound, i};
  }
  return {config::Action::route, final_, std::nullopt};
}

}  // namespace hairpin::route
