#include "platform/names.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "base/file.h"
#include "platform/adapters_windows.h"
#include "platform/winsock_windows.h"

namespace hairpin::platform {

Result<std::vector<IpAddr>> look_up(const std::string& host) {
  start_winsock();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
    return Error{
        "resolve " + host + ": " +
        (code == WSAHOST_NOT_FOUND ? "no such host" : "Windows error " + std::to_string(code))};
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<IpAddr> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, entry->ai_addr, entry->ai_addrlen);
    addresses.push_back(Endpoint::from_sockaddr(address).address);
  }
  if (addresses.empty()) return Error{"resolve " + host + ": no address"};
  return addresses;
}

std::vector<IpAddr> name_servers() {
  std::vector<IpAddr> servers;
  const auto adapters =
      Adapters::list(GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_UNICAST);
  if (!adapters) return servers;
  // Those of the interface that Windows prefers, first.
  std::vector<const IP_ADAPTER_ADDRESSES*> usable;
  for (auto* adapter = adapters->first(); adapter != nullptr; adapter = adapter->Next) {
    if (adapter->OperStatus == IfOperStatusUp) usable.push_back(adapter);
  }
  std::ranges::stable_sort(usable, {}, [](const auto* adapter) { return adapter->Ipv4Metric; });
  for (const auto* adapter : usable) {
    for (auto* entry = adapter->FirstDnsServerAddress; entry != nullptr; entry = entry->Next) {
      const IpAddr server = address_of(entry->Address);
      if (std::ranges::find(servers, server) == servers.end()) servers.push_back(server);
    }
  }
  return servers;
}

std::string name_server_stamp() {
  std::string stamp;
  for (const IpAddr& server : name_servers()) stamp += server.text() + " ";
  if (const auto hosts = stamp_of(hosts_file())) {
    stamp += std::to_string(hosts->changed.time_since_epoch().count());
  }
  return stamp;
}

const char* name_server_place() {
  return "Windows";
}

std::string hosts_file() {
  std::array<wchar_t, MAX_PATH> folder{};
  ::GetSystemDirectoryW(folder.data(), folder.size());
  return narrow(folder.data()) + "\\drivers\\etc\\hosts";
}

}  // namespace hairpin::platform
