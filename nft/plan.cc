#include "nft/plan.h"

#include <netinet/in.h>

namespace hairpin::nft {

namespace {

constexpr int kPriorityMangle = -150;  // before destination NAT, as tproxy must be
constexpr int kPriorityFilter = 0;

Rule tproxy_rule(const TunLinkPolicy& policy, Family family, Statement match, std::uint16_t port) {
  return {{MatchFamily{family}, std::move(match), Tproxy{family, port}, SetMark{policy.inner_mark},
           Accept{}}};
}

/// All datagrams of one client socket must meet one worker, whatever their destination. The
/// translator exchanges addresses and leaves ports: the source port is still the client's.
Statement match_udp(std::size_t worker, std::size_t workers) {
  if (workers == 1) return MatchProtocol{IPPROTO_UDP};
  return MatchUdpSourcePort{static_cast<std::uint16_t>(workers - 1),
                            static_cast<std::uint16_t>(worker)};
}

Chain inner_chain(const TunLinkPolicy& policy) {
  Chain chain{"inner", Hook::prerouting, kPriorityMangle, {}};
  chain.rules.push_back({{MatchInputInterface{policy.inner, Compare::not_equal}, Return{}}});
  for (const Listeners& listeners : policy.listeners) {
    const Family family = listeners.family;
    chain.rules.push_back(
        tproxy_rule(policy, family, MatchProtocol{IPPROTO_TCP}, listeners.tcp_port));
    const auto& ports = listeners.udp_ports;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      chain.rules.push_back(tproxy_rule(policy, family, match_udp(i, ports.size()), ports[i]));
    }
  }
  chain.rules.push_back({{Counter{}, Drop{}}});
  return chain;
}

Chain loop_chain(const TunLinkPolicy& policy) {
  Chain chain{"loop", Hook::output, kPriorityFilter, {}};
  chain.rules.push_back(
      {{MatchOutputInterface{policy.outer}, MatchMark{policy.own_mark}, Counter{}, Reject{}}});
  return chain;
}

}  // namespace

Table plan_tun_link(const TunLinkPolicy& policy) {
  Table table{"hairpin-" + policy.outer, true, {inner_chain(policy)}};
  if (policy.own_mark) table.chains.push_back(loop_chain(policy));
  return table;
}

}  // namespace hairpin::nft
