#include "dns/hosts.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "flow/flow.h"

namespace hairpin::dns {

void read_hosts(const std::string& path, Hosts& hosts) {
  std::ifstream file(path);
  if (!file) return log::warn("dns: {} cannot be read", path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string word;
    words >> word;
    const auto address = IpAddr::parse(word);
    if (!address) continue;
    while (words >> word) {
      auto& addresses = hosts[normal_name(word)];
      if (std::ranges::find(addresses, *address) == addresses.end()) addresses.push_back(*address);
    }
  }
}

}  // namespace hairpin::dns
