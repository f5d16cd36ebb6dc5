#include "platform/names.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/file.h"

namespace hairpin::platform {

namespace {

constexpr const char* kServers = "/etc/resolv.conf";
/// Where systemd-resolved says whom it asks itself.
constexpr const char* kBehindStub = "/run/systemd/resolve/resolv.conf";
constexpr const char* kHosts = "/etc/hosts";

std::vector<IpAddr> servers_in(const char* path) {
  std::vector<IpAddr> servers;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string word;
    std::string value;
    words >> word >> value;
    const auto address = IpAddr::parse(value.substr(0, value.find('%')));
    if (word == "nameserver" && address) servers.push_back(*address);
  }
  return servers;
}

std::string stamp(const char* path) {
  const auto file = stamp_of(path);
  if (!file) return "-";
  // libc++ counts in 128 bits, which cannot be printed.
  const auto changed = static_cast<std::int64_t>(file->changed.time_since_epoch().count());
  return std::to_string(changed) + "." + std::to_string(file->inode) + " ";
}

}  // namespace

Result<std::vector<IpAddr>> look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
    return Error{"resolve " + host + ": " + ::gai_strerror(code)};
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
  auto addresses = servers_in(kServers);
  // A stub on this host would ask through sockets that are captured, and so ask us.
  if (std::ranges::all_of(addresses, &IpAddr::is_loopback)) {
    if (auto behind = servers_in(kBehindStub); !behind.empty()) return behind;
  }
  return addresses;
}

std::string name_server_stamp() {
  return stamp(kServers) + stamp(kBehindStub) + stamp(kHosts);
}

const char* name_server_place() {
  return kServers;
}

std::string hosts_file() {
  return kHosts;
}

}  // namespace hairpin::platform
