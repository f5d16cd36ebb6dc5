#include "app/proxy_names.h"

#include <algorithm>

namespace hairpin::app {

std::vector<std::string> proxies_to_resolve(const config::Config& config) {
  const bool captures = std::ranges::any_of(
      config.inbounds, [](const config::TunInbound& tun) { return tun.auto_route.enabled; });
  std::vector<std::string> hosts;
  if (!captures) return hosts;
  for (const config::Outbound& outbound : config.outbounds) {
    const config::Server* server = config::first_hop_of(outbound);
    if (server == nullptr || IpAddr::parse(server->host)) continue;
    // A DNS server of the configuration tells it: that is nothing to ask the system about.
    const bool told = !outbound.dial.domain_resolver.server.empty() ||
                      !config.route.default_domain_resolver.server.empty();
    if (told) continue;
    if (std::ranges::find(hosts, server->host) == hosts.end()) hosts.push_back(server->host);
  }
  return hosts;
}

Result<platform::Names> resolve_proxies(const std::vector<std::string>& hosts) {
  platform::Names names;
  for (const std::string& host : hosts) {
    auto addresses = platform::look_up(host);
    if (!addresses) {
      return Error{addresses.error().text() +
                   "; the name of a proxy must be known before its way is captured, too"};
    }
    names[host] = std::move(*addresses);
  }
  return names;
}

}  // namespace hairpin::app
