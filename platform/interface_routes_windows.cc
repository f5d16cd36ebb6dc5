#include "platform/interface_routes.h"

#include <memory>

#include "platform/adapter_network.h"
#include "platform/adapters_windows.h"
#include "platform/interface.h"
#include "platform/winsock_windows.h"

namespace hairpin::platform {

namespace {

using Table = std::unique_ptr<MIB_IPFORWARD_TABLE2, decltype(&::FreeMibTable)>;

/// Of a route, with what its interface adds.
unsigned metric_of(const MIB_IPFORWARD_ROW2& route) {
  MIB_IPINTERFACE_ROW interface{};
  interface.Family = route.DestinationPrefix.Prefix.si_family;
  interface.InterfaceLuid = route.InterfaceLuid;
  const bool known = system_ip_helper().get_interface(interface) == NO_ERROR;
  return static_cast<unsigned>(route.Metric + (known ? interface.Metric : 0));
}

}  // namespace

Result<> add_interface_route(const Prefix& destination, const std::string& interface) {
  auto network = AdapterNetwork::of(system_ip_helper(), interface);
  if (!network) return network.error();
  return network->add_route(destination, std::nullopt, 0);
}

Result<> remove_interface_route(const Prefix& destination, const std::string& interface) {
  auto network = AdapterNetwork::of(system_ip_helper(), interface);
  if (!network) return network.error();
  auto removed = network->remove_route(destination, std::nullopt);
  if (!removed && removed.error().code == ENOENT) return {};
  return removed;
}

Result<std::string> find_uplink(const std::string& own) {
  MIB_IPFORWARD_TABLE2* rows = nullptr;
  const DWORD code = ::GetIpForwardTable2(AF_UNSPEC, &rows);
  if (code != NO_ERROR) return Error{"list routes", errno_of(code)};
  const Table table(rows, [](void* memory) { ::FreeMibTable(memory); });
  const auto interfaces = list_interfaces();
  if (!interfaces) return interfaces.error();
  std::string best;
  unsigned lowest = 0;
  for (ULONG i = 0; i < table->NumEntries; ++i) {
    const MIB_IPFORWARD_ROW2& route = table->Table[i];
    if (route.DestinationPrefix.PrefixLength != 0) continue;
    for (const FoundInterface& one : *interfaces) {
      const bool meant = one.index.value() == static_cast<int>(route.InterfaceIndex);
      if (!meant || !one.usable || one.name == own) continue;
      const unsigned metric = metric_of(route);
      if (!best.empty() && metric >= lowest) continue;
      best = one.name;
      lowest = metric;
    }
  }
  return Result<std::string>(boost::system::in_place_value, std::move(best));
}

}  // namespace hairpin::platform
