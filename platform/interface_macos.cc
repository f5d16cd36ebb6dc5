#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "platform/interface.h"
#include "platform/utun.h"

namespace hairpin::platform {

namespace {

using Names = std::unique_ptr<struct if_nameindex, decltype(&::if_freenameindex)>;
using List = std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)>;

Result<List> list_all() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return last_error("getifaddrs");
  return List(first, &::freeifaddrs);
}

/// Of those that `wanted` takes.
template <class Wanted>
Result<std::vector<IpAddr>> addresses(Wanted wanted) {
  const auto all = list_all();
  if (!all) return all.error();
  std::vector<IpAddr> found;
  for (const ifaddrs* one = all->get(); one != nullptr; one = one->ifa_next) {
    const sockaddr* address = one->ifa_addr;
    if (address == nullptr || !wanted(one->ifa_name)) continue;
    if (address->sa_family != AF_INET && address->sa_family != AF_INET6) continue;
    sockaddr_storage stored{};
    std::memcpy(&stored, address, address->sa_len);
    found.push_back(Endpoint::from_sockaddr(stored).address);
  }
  return found;
}

}  // namespace

Result<IfIndex> interface_index(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return Error{"interface " + name, ENODEV};
  return IfIndex{static_cast<int>(index)};
}

/// Of a utun: its queue is the control socket's buffer.
Result<> configure_interface(const std::string& name, const InterfaceSettings& settings) {
  return configure_utun(name, settings.addresses, settings.mtu);
}

Result<InterfaceSize> interface_size(const std::string& name) {
  const auto all = list_all();
  if (!all) return all.error();
  for (const ifaddrs* one = all->get(); one != nullptr; one = one->ifa_next) {
    const bool link = one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_LINK;
    if (!link || one->ifa_data == nullptr || name != one->ifa_name) continue;
    if_data data{};
    std::memcpy(&data, one->ifa_data, sizeof data);
    return InterfaceSize{data.ifi_mtu, 0};
  }
  return Error{"interface " + name, ENODEV};
}

Result<std::vector<FoundInterface>> list_interfaces() {
  const Names names(::if_nameindex(), &::if_freenameindex);
  if (!names) return last_error("if_nameindex");
  const auto all = list_all();
  if (!all) return all.error();
  std::vector<FoundInterface> found;
  for (const struct if_nameindex* one = names.get(); one->if_index != 0; ++one) {
    constexpr unsigned kUsable = IFF_UP | IFF_RUNNING;
    unsigned flags = 0;
    for (const ifaddrs* entry = all->get(); entry != nullptr; entry = entry->ifa_next) {
      if (std::strcmp(entry->ifa_name, one->if_name) == 0) flags |= entry->ifa_flags;
    }
    found.push_back(
        {IfIndex{static_cast<int>(one->if_index)}, one->if_name, (flags & kUsable) == kUsable});
  }
  return found;
}

Result<std::vector<IpAddr>> interface_addresses(IfIndex interface) {
  return addresses([interface](const char* name) {
    return ::if_nametoindex(name) == static_cast<unsigned>(interface.value());
  });
}

Result<std::vector<IpAddr>> local_addresses() {
  return addresses([](const char*) { return true; });
}

}  // namespace hairpin::platform
