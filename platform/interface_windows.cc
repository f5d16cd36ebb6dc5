#include <algorithm>

#include "platform/adapter_network.h"
#include "platform/adapters_windows.h"
#include "platform/interface.h"

namespace hairpin::platform {

namespace {

constexpr ULONG kNames = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;

IfIndex index_of(const IP_ADAPTER_ADDRESSES& adapter) {
  // An interface without IPv4 has only the other number.
  return IfIndex{static_cast<int>(adapter.IfIndex != 0 ? adapter.IfIndex : adapter.Ipv6IfIndex)};
}

void add_addresses(const IP_ADAPTER_ADDRESSES& adapter, std::vector<IpAddr>& to) {
  for (auto* entry = adapter.FirstUnicastAddress; entry != nullptr; entry = entry->Next) {
    to.push_back(address_of(entry->Address));
  }
}

}  // namespace

Result<IfIndex> interface_index(const std::string& name) {
  const auto all = list_interfaces();
  if (!all) return all.error();
  for (const FoundInterface& one : *all) {
    if (one.name == name) return one.index;
  }
  return Error{"interface " + name, ENODEV};
}

/// Windows adds no IPv6 address to a link without neighbours, and its queue is the ring's. All
/// routes over it come before those of other interfaces.
Result<> configure_interface(const std::string& name, const InterfaceSettings& settings) {
  auto network = AdapterNetwork::of(system_ip_helper(), name);
  if (!network) return network.error();
  for (const Family family : {Family::v4, Family::v6}) {
    const bool used = std::ranges::any_of(
        settings.addresses, [family](const Prefix& one) { return one.address.family() == family; });
    if (!used) continue;
    if (auto done = network->configure(family, settings.mtu, 0); !done) return done;
  }
  for (const Prefix& address : settings.addresses) {
    if (auto added = network->add_address(address); !added) return added;
  }
  return {};
}

Result<InterfaceSize> interface_size(const std::string& name) {
  const auto adapters = Adapters::list(kNames | GAA_FLAG_SKIP_UNICAST);
  if (!adapters) return adapters.error();
  for (auto* adapter = adapters->first(); adapter != nullptr; adapter = adapter->Next) {
    if (narrow(adapter->FriendlyName) == name) return InterfaceSize{adapter->Mtu, 0};
  }
  return Error{"interface " + name, ENODEV};
}

Result<std::vector<FoundInterface>> list_interfaces() {
  const auto adapters = Adapters::list(kNames | GAA_FLAG_SKIP_UNICAST);
  if (!adapters) return adapters.error();
  std::vector<FoundInterface> found;
  for (auto* adapter = adapters->first(); adapter != nullptr; adapter = adapter->Next) {
    found.push_back(
        {index_of(*adapter), narrow(adapter->FriendlyName), adapter->OperStatus == IfOperStatusUp});
  }
  return found;
}

Result<std::vector<IpAddr>> interface_addresses(IfIndex interface) {
  const auto adapters = Adapters::list(kNames);
  if (!adapters) return adapters.error();
  std::vector<IpAddr> found;
  for (auto* adapter = adapters->first(); adapter != nullptr; adapter = adapter->Next) {
    if (index_of(*adapter) == interface) add_addresses(*adapter, found);
  }
  return found;
}

Result<std::vector<IpAddr>> local_addresses() {
  const auto adapters = Adapters::list(kNames);
  if (!adapters) return adapters.error();
  std::vector<IpAddr> found;
  for (auto* adapter = adapters->first(); adapter != nullptr; adapter = adapter->Next) {
    add_addresses(*adapter, found);
  }
  return found;
}

}  // namespace hairpin::platform
