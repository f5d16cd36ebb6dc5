#include "host/snapshot.h"

#include <algorithm>

#include "platform/cgroup.h"
#include "platform/interface.h"
#include "platform/parameters.h"

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

/// What listens to router advertisements only as long as it does not forward; "default" is what
/// interfaces begin with that are not there yet.
Result<std::vector<std::string>> listening_to_routers() {
  const auto interfaces = platform::list_interfaces();
  if (!interfaces) return interfaces.error();
  std::vector<std::string> names{"default"};
  for (const platform::FoundInterface& interface : *interfaces) names.push_back(interface.name);
  std::erase_if(names, [](std::string name) {
    std::ranges::replace(name, '.', '/');
    const auto value = platform::read_parameter("net.ipv6.conf." + name + ".accept_ra");
    return !value || *value != "1";
  });
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
    auto names = listening_to_routers();
    if (!names) return names.error();
    host.advertised = std::move(*names);
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
