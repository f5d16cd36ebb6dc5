#include "nft/plan.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace hairpin::nft {

namespace {

constexpr int kPriorityMangle = -150;  // before destination NAT, as tproxy must be
constexpr int kPriorityFilter = 0;

/// The mark is left off where routing delivers everything anyway.
Rule tproxy_rule(Family family, Statement match, std::uint16_t port, Mark mark) {
  Rule rule{{MatchFamily{family}, std::move(match), Tproxy{family, port}}};
  if (mark) rule.statements.emplace_back(SetMark{mark});
  rule.statements.emplace_back(Accept{});
  return rule;
}

Rule tcp_rule(const Listeners& listeners, Mark mark) {
  return tproxy_rule(listeners.family, MatchProtocol{IPPROTO_TCP}, listeners.tcp_port, mark);
}

/// All datagrams of one client socket must meet one worker, whatever their destination: its source
/// port chooses, which the translator leaves as it is.
Statement match_udp(std::size_t worker, std::size_t workers) {
  if (workers == 1) return MatchProtocol{IPPROTO_UDP};
  return MatchUdpSourcePort{static_cast<std::uint16_t>(workers - 1),
                            static_cast<std::uint16_t>(worker)};
}

Rule hold_rule(Family family, const EtherAddress& released) {
  return {
      {MatchFamily{family}, MatchSyn{}, MatchEtherSource{released, Compare::not_equal}, Drop{}}};
}

void add_udp_rules(Chain& chain, const Listeners& listeners, Mark mark) {
  const auto& ports = listeners.udp_ports;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    chain.rules.push_back(
        tproxy_rule(listeners.family, match_udp(i, ports.size()), ports[i], mark));
  }
}

Rule only_from(const std::string& device) {
  return {{MatchInputInterface{device, Compare::not_equal}, Return{}}};
}

Rule count_and(const std::string& counter, Statement match, Statement verdict) {
  return {{std::move(match), CountInto{counter}, std::move(verdict)}};
}

MatchProtocol match_protocol(int protocol) {
  return {static_cast<std::uint8_t>(protocol)};
}

/// Set on packets of protocols that nobody takes, on their way to chain `refuse`. Nothing else in
/// the private namespace has a mark.
constexpr Mark kRefused{1};

/// What has no unicast destination that a flow could have (RFC 1122 3.2.1.3, RFC 4291 2.5-2.7). The
/// kernel itself drops loopback and unspecified addresses, and TCP to any of these.
const std::array<Prefix, 3>& out_of_scope() {
  static const std::array<Prefix, 3> prefixes{*Prefix::parse("224.0.0.0/4"),
                                              *Prefix::parse("255.255.255.255/32"),
                                              *Prefix::parse("ff00::/8")};
  return prefixes;
}
/// This one, where all addresses are local, it would take.
Prefix link_local6() {
  return *Prefix::parse("fe80::/10");
}

}  // namespace

unsigned MatchControlGroup::level() const {
  return 1 + static_cast<unsigned>(std::ranges::count(path, '/'));
}

std::string table_name(const std::string& outer) {
  return "hairpin-" + outer;
}

Table plan_tun_link(const TunLinkPolicy& policy) {
  Chain chain{"inner", Hook::prerouting, kPriorityMangle, {only_from(policy.inner)}};
  for (const Listeners& listeners : policy.listeners) {
    chain.rules.push_back(tcp_rule(listeners, policy.inner_mark));
    add_udp_rules(chain, listeners, policy.inner_mark);
  }
  chain.rules.push_back({{Counter{}, Drop{}}});
  return {table_name(policy.outer), true, {std::move(chain)}};
}

Table plan_veth_link(const VethLinkPolicy& policy) {
  constexpr std::uint8_t kUnreachable4 = 3;
  constexpr std::uint8_t kEcho4 = 8;
  constexpr std::uint8_t kUnreachable6 = 1;
  constexpr std::uint8_t kTooBig6 = 2;
  constexpr std::uint8_t kEcho6 = 128;
  Chain inner{"inner", Hook::prerouting, kPriorityMangle, {only_from(policy.inner)}};
  auto& rules = inner.rules;
  // TCP first: it is most of all packets, and each rule before costs all of them.
  for (const Listeners& listeners : policy.listeners) {
    if (listeners.family == Family::v6) {
      rules.push_back(count_and("dropped_scope", MatchDestination{link_local6()}, Drop{}));
    }
    if (policy.released) rules.push_back(hold_rule(listeners.family, *policy.released));
    rules.push_back(tcp_rule(listeners, Mark{}));
  }
  for (const Prefix& prefix : out_of_scope()) {
    rules.push_back(count_and("dropped_scope", MatchDestination{prefix}, Drop{}));
  }
  for (const Listeners& listeners : policy.listeners) add_udp_rules(inner, listeners, Mark{});
  rules.push_back(count_and("echo_answered", MatchIcmpType{Family::v4, kEcho4}, Accept{}));
  rules.push_back(count_and("echo_answered", MatchIcmpType{Family::v6, kEcho6}, Accept{}));
  rules.push_back({{MatchIcmpType{Family::v4, kUnreachable4}, Accept{}}});
  rules.push_back({{MatchIcmpType{Family::v6, kUnreachable6}, Accept{}}});
  rules.push_back({{MatchIcmpType{Family::v6, kTooBig6}, Accept{}}});
  for (const int protocol : {int{IPPROTO_ICMP}, int{IPPROTO_ICMPV6}}) {
    rules.push_back(count_and("dropped_icmp", match_protocol(protocol), Drop{}));
  }
  for (const int protocol : {int{IPPROTO_TCP}, int{IPPROTO_UDP}}) {
    rules.push_back(count_and("dropped_unexpected", match_protocol(protocol), Drop{}));
  }
  rules.push_back({{SetMark{kRefused}, Accept{}}});
  // An ICMP error is from the packet's destination only where that is local, and that is known
  // after routing.
  Chain refuse{"refuse",
               Hook::input,
               kPriorityFilter,
               {count_and("protocol_refused", MatchMark{kRefused}, Reject{})}};
  return {
      "hairpin",
      true,
      {std::move(inner), std::move(refuse)},
      {"dropped_icmp", "dropped_scope", "dropped_unexpected", "echo_answered", "protocol_refused"}};
}

Chain plan_loop_guard(const std::string& outer, Mark own_mark) {
  return {"loop",
          Hook::output,
          kPriorityFilter,
          {{{MatchOutputInterface{outer}, MatchMark{own_mark}, Counter{}, Reject{}}}}};
}

}  // namespace hairpin::nft
