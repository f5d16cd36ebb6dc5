#include "app/resolv.h"

#include <algorithm>
#include <sstream>

namespace hairpin::app {

namespace {

constexpr std::string_view kKeyword = "nameserver";

bool is_server_line(const std::string& line) {
  return line.starts_with(kKeyword) && line.size() > kKeyword.size() &&
         (line[kKeyword.size()] == ' ' || line[kKeyword.size()] == '\t');
}

}  // namespace

std::vector<IpAddr> name_servers(std::string_view text) {
  std::vector<IpAddr> servers;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (!is_server_line(line)) continue;
    std::istringstream words(line.substr(kKeyword.size()));
    std::string address;
    words >> address;
    address = address.substr(0, address.find('%'));  // a zone means a link of the host: left out
    if (const auto parsed = IpAddr::parse(address)) servers.push_back(*parsed);
  }
  return servers;
}

std::string with_name_servers(std::string_view text, const std::vector<IpAddr>& servers) {
  std::string out;
  for (const IpAddr& server : servers) out += "nameserver " + server.text() + "\n";
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (!is_server_line(line)) out += line + "\n";
  }
  return out;
}

bool all_loopback(const std::vector<IpAddr>& servers) {
  return std::ranges::all_of(servers, [](const IpAddr& server) { return server.is_loopback(); });
}

}  // namespace hairpin::app
