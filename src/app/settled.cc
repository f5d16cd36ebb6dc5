#include "app/settled.h"

#include <algorithm>
#include <array>
#include <utility>

#include "host/plan.h"

namespace hairpin::app {

void keep_settled(const config::Config& now, config::Config& next) {
  for (std::size_t i = 0; i < std::min(now.inbounds.size(), next.inbounds.size()); ++i) {
    const config::AutoRoute& from = now.inbounds[i].auto_route;
    config::AutoRoute& to = next.inbounds[i].auto_route;
    to.bypasses |= from.bypasses;
    if (!to.queue) to.queue = from.queue;
  }
}

std::string fixed_difference(const config::Config& now, const config::Config& next) {
  if (now.route.default_mark != next.route.default_mark) return "route.default_mark";
  if (now.inbounds.size() != next.inbounds.size()) return "the number of inbounds";
  for (std::size_t i = 0; i < now.inbounds.size(); ++i) {
    const config::TunInbound& a = now.inbounds[i];
    const config::TunInbound& b = next.inbounds[i];
    const config::AutoRoute& from = a.auto_route;
    const config::AutoRoute& to = b.auto_route;
    const bool same_marks = from.marks == to.marks;
    const bool same_judge = host::by_mark(from) == host::by_mark(to);
    const std::array<std::pair<const char*, bool>, 14> fields{{
        {"interface_name", a.interface_name == b.interface_name},
        {"address", a.address == b.address},
        {"mtu", a.mtu == b.mtu},
        {"link", a.link == b.link},
        {"stack", a.stack == b.stack},
        {"tcp_handshake", a.tcp_handshake == b.tcp_handshake},
        {"auto_route", from.enabled == to.enabled},
        {"auto_redirect", from.redirect == to.redirect},
        {"auto_redirect_nfqueue", from.queue == to.queue},
        {"gateway", from.gateway == to.gateway},
        // Connections that run have the source address, or the mark, by which one of both knows
        // them.
        {"auto_route: whether this host is judged by routing rules, or by nftables (address sets, "
         "control groups, rules that bypass)",
         same_judge},
        {"a mark of auto_redirect", same_marks},
        {"iproute2_table_index", from.table == to.table},
        {"iproute2_rule_index", from.first_rule == to.first_rule},
    }};
    for (const auto& [name, same] : fields) {
      if (!same) return "inbounds[" + std::to_string(i) + "]." + name;
    }
  }
  return "";
}

Result<> settle(const config::Config& now, config::Config& next) {
  keep_settled(now, next);
  const std::string fixed = fixed_difference(now, next);
  if (fixed.empty()) return {};
  return Error{fixed + " cannot be changed while running; restart, or change it back"};
}

}  // namespace hairpin::app
