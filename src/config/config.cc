#include "config/config.h"

#include <algorithm>

namespace hairpin::config {

std::vector<Mark> marks_of(const Config& config) {
  std::vector<Mark> marks{config.route.default_mark};
  for (const Outbound& outbound : config.outbounds) {
    if (outbound.dial.routing_mark) marks.push_back(*outbound.dial.routing_mark);
  }
  for (const DnsServer& server : config.dns.servers) {
    if (server.dial.routing_mark) marks.push_back(*server.dial.routing_mark);
  }
  std::ranges::sort(marks);
  const auto repeated = std::ranges::unique(marks);
  marks.erase(repeated.begin(), repeated.end());
  std::erase(marks, Mark{});
  return marks;
}

const Server* server_of(const Outbound& outbound) {
  if (const auto* socks = std::get_if<Socks>(&outbound.kind)) return &socks->server;
  if (const auto* http = std::get_if<Http>(&outbound.kind)) return &http->server;
  return nullptr;
}

const Server* first_hop_of(const Outbound& outbound) {
  return outbound.dial.detour.empty() ? server_of(outbound) : nullptr;
}

std::vector<std::string> references_of(const Outbound& outbound) {
  if (const auto* group = std::get_if<Group>(&outbound.kind)) return group->outbounds;
  if (!outbound.dial.detour.empty()) return {outbound.dial.detour};
  return {};
}

}  // namespace hairpin::config
