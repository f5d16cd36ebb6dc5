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

}  // namespace

Result<Snapshot> take_snapshot(const Policy& policy) {
  Snapshot host;
  auto known = known_networks(policy);
  if (!known) return known.error();
  host.known = std::move(*known);
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
