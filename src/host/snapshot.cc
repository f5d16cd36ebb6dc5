#include "host/snapshot.h"

#include <algorithm>

#include "platform/cgroup.h"
#include "platform/interface.h"

namespace hairpin::host {

namespace {

Result<std::vector<Prefix>> known_networks(const Policy& policy) {
  const auto ours = platform::interface_index(policy.interface);  // not there yet for `plan`
  const auto routes = platform::list_routes(platform::kMainTable);
  if (!routes) return routes.error();
  std::vector<Prefix> known;
  for (const platform::FoundRoute& route : *routes) {
    if (route.destination.length == 0 || (ours && route.device == *ours)) continue;
    known.push_back(route.destination);
  }
  std::ranges::sort(known);
  const auto repeated = std::ranges::unique(known);
  known.erase(repeated.begin(), repeated.end());
  return known;
}

Result<std::vector<std::string>> advertised_uplinks() {
  constexpr std::uint8_t kRouterAdvertisement = 9;  // RTPROT_RA
  const auto routes = platform::list_routes(platform::kMainTable);
  if (!routes) return routes.error();
  const auto interfaces = platform::list_interfaces();
  if (!interfaces) return interfaces.error();
  std::vector<std::string> names;
  for (const platform::FoundInterface& interface : *interfaces) {
    const bool advertised = std::ranges::any_of(*routes, [&](const platform::FoundRoute& route) {
      return route.device == interface.index && route.destination.length == 0 &&
             route.protocol == kRouterAdvertisement;
    });
    if (advertised) names.push_back(interface.name);
  }
  return names;
}

}  // namespace

Result<Snapshot> take_snapshot(const Policy& policy) {
  Snapshot host;
  auto known = known_networks(policy);
  if (!known) return known.error();
  host.known = std::move(*known);
  auto filters = nft::list_filter_chains();
  if (!filters) return filters.error();
  host.filters = std::move(*filters);
  if (policy.wanted.gateway) {
    auto advertised = advertised_uplinks();
    if (!advertised) return advertised.error();
    host.advertised = std::move(*advertised);
  }
  for (const auto* paths : {&policy.wanted.include_cgroup, &policy.wanted.exclude_cgroup}) {
    for (const std::string& path : *paths) {
      const auto id = platform::cgroup_id(path);
      if (!id) return id.error();
      host.groups[path] = *id;
    }
  }
  return host;
}

}  // namespace hairpin::host
