#include "host/uplink.h"

#include <algorithm>
#include <tuple>

namespace hairpin::host {

std::string choose_uplink(const std::vector<platform::FoundRoute>& routes,
                          const std::vector<platform::FoundInterface>& interfaces,
                          const std::vector<std::string>& ours) {
  const platform::FoundRoute* best = nullptr;
  std::string name;
  const auto rank = [](const platform::FoundRoute& route) {
    return std::tuple(route.metric, route.destination.address.family());
  };
  for (const platform::FoundRoute& route : routes) {
    if (route.destination.length != 0) continue;
    const auto device =
        std::ranges::find(interfaces, route.device, &platform::FoundInterface::index);
    if (device == interfaces.end() || !device->usable) continue;
    if (std::ranges::find(ours, device->name) != ours.end()) continue;
    if (best != nullptr && rank(*best) <= rank(route)) continue;
    best = &route;
    name = device->name;
  }
  return name;
}

Result<std::string> find_uplink(const std::vector<std::string>& ours) {
  const auto routes = platform::list_routes(platform::kMainTable);
  if (!routes) return routes.error();
  const auto interfaces = platform::list_interfaces();
  if (!interfaces) return interfaces.error();
  return Result<std::string>(boost::system::in_place_value,
                             choose_uplink(*routes, *interfaces, ours));
}

}  // namespace hairpin::host
