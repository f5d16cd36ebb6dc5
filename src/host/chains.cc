#include "host/chains.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "config/syn_marks.h"
#include "host/judgement.h"

namespace hairpin::host {

namespace {

using nft::Compare;
using nft::Statement;

constexpr int kMangle = -150;
constexpr int kBehindDestinationNat = -99;  // Docker's and others' port forwards first
constexpr int kOutputNat = -100;
constexpr int kFilter = 0;

constexpr std::uint8_t kTcp = 6;
constexpr std::uint16_t kDhcpClient = 68;
constexpr std::uint16_t kDhcpServer = 67;
constexpr std::uint16_t kDhcp6Client = 546;
constexpr std::uint16_t kDhcp6Server = 547;

void append(std::vector<nft::Rule>& to, std::vector<nft::Rule> rules) {
  std::ranges::move(rules, std::back_inserter(to));
}

nft::Rule rule(std::vector<Statement> statements) {
  return {std::move(statements)};
}

/// What concerns only this host and its neighbours, whoever asks: rules that end in `verdict`.
std::vector<nft::Rule> of_this_link(const Statement& verdict) {
  std::vector<nft::Rule> rules;
  for (const auto type : {nft::AddressType::local, nft::AddressType::broadcast,
                          nft::AddressType::anycast, nft::AddressType::multicast}) {
    rules.push_back(rule({nft::MatchDestinationType{type}, verdict}));
  }
  for (const Family family : kFamilies) {
    for (const Prefix& prefix : here(family)) {
      if (prefix.address.is_multicast()) continue;  // and broadcast: above
      rules.push_back(rule({nft::MatchDestination{prefix}, verdict}));
    }
  }
  // A lease is renewed with a server that may be anywhere.
  rules.push_back(rule({nft::MatchUdpPorts{kDhcpClient, kDhcpServer}, verdict}));
  rules.push_back(rule({nft::MatchUdpPorts{kDhcp6Client, kDhcp6Server}, verdict}));
  return rules;
}

std::vector<nft::Rule> of_known_networks(const Statement& verdict) {
  std::vector<nft::Rule> rules;
  for (const Family family : kFamilies) {
    rules.push_back(rule({nft::MatchDestinationSet{family, "known" + suffix(family)}, verdict}));
  }
  return rules;
}

void add_sets(nft::Table& table, std::vector<nft::Set> more) {
  std::ranges::move(more, std::back_inserter(table.sets));
}

/// Of connections that are not captured.
Mark left_mark(const Policy& policy) {
  const config::Marks& marks = policy.wanted.marks;
  const Mark own = policy.own_marks.empty() ? Mark{} : policy.own_marks.front();
  const Mark masked{own.value() & marks.mask};
  // Any value that says "judged", if our own mark does not fit.
  return masked ? masked : Mark{marks.input.value() ^ marks.mask};
}

/// Of those that a rule leaves alone: a wall knows them by it, whatever rules say later.
Mark bypassed_mark(const Policy& policy) {
  const config::SynMarks syn = config::syn_marks(policy.wanted.marks);
  return syn.leave == left_mark(policy) ? syn.reset : syn.leave;
}

/// The chains that mark.
class Capture {
 public:
  Capture(const Policy& policy, const Snapshot& host)
      : policy_(policy), wanted_(policy.wanted), marks_(policy.wanted.marks), host_(host) {}

  std::vector<nft::Chain> make() {
    std::vector<nft::Chain> chains{leave(), take(), forwarded()};
    if (wanted_.bypasses) chains.push_back(bypass());
    if (policy_.queue) chains.push_back(answered());
    if (by_mark(wanted_)) chains.push_back(local());
    if (!wanted_.redirect) return chains;
    chains.push_back({"redirect_forwarded", nft::Hook::prerouting, kBehindDestinationNat,
                      redirections(), nft::ChainType::nat});
    chains.push_back(
        {"redirect_local", nft::Hook::output, kOutputNat, redirections(), nft::ChainType::nat});
    return chains;
  }

 private:
  std::vector<Statement> mark_packet() const {
    std::vector<Statement> statements;
    // TCP is turned, not routed.
    if (wanted_.redirect) statements.emplace_back(nft::MatchProtocol{kTcp, Compare::not_equal});
    statements.emplace_back(nft::SetMark{marks_.input, marks_.mask});
    return statements;
  }

  nft::Chain leave() const {
    return {"leave",
            std::nullopt,
            0,
            {rule({nft::SetConnectionMark{left_mark(policy_), marks_.mask}})}};
  }

  nft::Chain bypass() const {
    return {"bypass",
            std::nullopt,
            0,
            {rule({nft::SetConnectionMark{bypassed_mark(policy_), marks_.mask}})}};
  }

  /// Marked before it is queued: with nobody there, it is captured undecided. What conntrack does
  /// not know (a lone SYN-ACK, a wrong sum) keeps no mark, and would come back for ever.
  nft::Chain take() const {
    nft::Chain chain{
        "take",
        std::nullopt,
        0,
        {rule({nft::SetConnectionMark{marks_.input, marks_.mask}}), rule(mark_packet())}};
    if (policy_.queue) {
      chain.rules.push_back(rule(
          {nft::MatchConnectionMark{marks_.input, marks_.mask}, nft::MatchSyn{}, *policy_.queue}));
    }
    return chain;
  }

  /// SYNs that were queued, with an answer for their mark.
  nft::Chain answered() const {
    const config::SynMarks syn = config::syn_marks(marks_);
    nft::Chain chain{"answered", std::nullopt};
    const auto on = [&](Mark mark, const Statement& statement) {
      chain.rules.push_back(
          rule({nft::MatchMark{mark, marks_.mask}, nft::SetMark{Mark{}, marks_.mask}, statement}));
    };
    on(syn.let_in, nft::Return{});
    on(syn.reset, nft::Reject{nft::Refusal::reset});
    on(syn.leave, nft::SetConnectionMark{bypassed_mark(policy_), marks_.mask});
    on(syn.network, nft::Reject{nft::Refusal::no_route});
    on(syn.host, nft::Reject{nft::Refusal::host});
    on(syn.administrator, nft::Reject{nft::Refusal::prohibited});
    return chain;
  }

  /// Another mark on a repeated SYN of others is theirs: it is no new connection once its listener
  /// has answered.
  void hear_answers(nft::Chain& chain) const {
    if (!policy_.queue) return;
    chain.rules.push_back(rule({nft::MatchMark{Mark{}, marks_.mask, Compare::not_equal},
                                nft::MatchConnectionMark{marks_.input, marks_.mask},
                                nft::MatchNew{}, nft::MatchSyn{}, nft::Goto{"answered"}}));
  }

  /// What is judged already.
  std::vector<nft::Rule> judged() const {
    std::vector<Statement> captured{nft::MatchConnectionMark{marks_.input, marks_.mask}};
    std::vector<nft::Rule> rules;
    auto mark = mark_packet();
    rules.push_back(rule({nft::MatchReply{}, nft::Return{}}));
    captured.insert(captured.end(), mark.begin(), mark.end());
    rules.push_back({std::move(captured)});
    rules.push_back(
        rule({nft::MatchConnectionMark{Mark{}, marks_.mask, Compare::not_equal}, nft::Return{}}));
    return rules;
  }

  void judge(nft::Chain& chain, Place place) const {
    // It was there before we were. Who began it is not known for sure: the kernel may not have
    // tracked it until now.
    chain.rules.push_back(rule({nft::MatchSyn{Compare::not_equal}, nft::Goto{"leave"}}));
    append(chain.rules, of_this_link(nft::Return{}));
    for (const Family family : kFamilies) {
      if (carries(policy_, family)) continue;
      chain.rules.push_back(rule({nft::MatchFamily{family}, nft::Return{}}));
    }
    if (wanted_.redirect && !names_addresses(wanted_)) {
      append(chain.rules, of_known_networks(nft::Goto{"leave"}));
    }
    if (wanted_.bypasses) {
      for (const nft::Set& set : bypass_sets({})) {
        chain.rules.push_back(
            rule({nft::MatchEndpointSet{set.family, set.name}, nft::Goto{"bypass"}}));
      }
    }
    append(chain.rules,
           judge_by_wishes(policy_, host_, place, nft::Goto{"leave"}, nft::Goto{"take"}));
  }

  nft::Chain forwarded() const {
    nft::Chain chain{"forwarded", nft::Hook::prerouting, kMangle};
    chain.rules.push_back(rule({nft::MatchInputInterface{kThisHost}, nft::Return{}}));
    chain.rules.push_back(rule({nft::MatchInputInterface{policy_.interface}, nft::Return{}}));
    for (const std::string& name : policy_.companions) {
      chain.rules.push_back(rule({nft::MatchInputInterface{name}, nft::Return{}}));
    }
    hear_answers(chain);
    append(chain.rules, judged());
    chain.rules.push_back(rule({nft::MatchNotForThisHost{}, nft::Return{}}));
    judge(chain, Place::forwarded);
    return chain;
  }

  nft::Chain local() const {
    nft::Chain chain{"local", nft::Hook::output, kMangle, {}, nft::ChainType::route};
    chain.rules.push_back(rule({nft::MatchOutputInterface{kThisHost}, nft::Return{}}));
    for (const std::string& name : policy_.companions) {
      chain.rules.push_back(rule({nft::MatchOutputInterface{name}, nft::Return{}}));
    }
    hear_answers(chain);
    // Marked sockets have chosen their way: our own, and other tunnels'.
    chain.rules.push_back(rule({nft::MatchMark{Mark{}, ~0U, Compare::not_equal}, nft::Return{}}));
    append(chain.rules, judged());
    judge(chain, Place::local);
    return chain;
  }

  std::vector<nft::Rule> redirections() const {
    std::vector<nft::Rule> rules;
    for (const Redirection& to : policy_.redirections) {
      rules.push_back(
          rule({nft::MatchFamily{to.family}, nft::MatchProtocol{kTcp},
                nft::MatchConnectionMark{marks_.input, marks_.mask}, nft::Redirect{to.port}}));
    }
    return rules;
  }

  const Policy& policy_;
  const config::AutoRoute& wanted_;
  const config::Marks& marks_;
  const Snapshot& host_;
};

std::vector<nft::Chain> wall_chains(const Policy& policy, const Snapshot& host) {
  constexpr std::uint8_t kFirstNeighbour = 133;  // router solicitation to neighbour advertisement
  constexpr std::uint8_t kLastNeighbour = 136;
  nft::Chain output{"wall_output", nft::Hook::output, kFilter};
  nft::Chain forward{"wall_forward", nft::Hook::forward, kFilter};
  std::vector<std::string> ours{policy.interface};
  std::ranges::copy(policy.companions, std::back_inserter(ours));
  output.rules.push_back(rule({nft::MatchOutputInterface{kThisHost}, nft::Return{}}));
  for (const std::string& name : ours) {
    output.rules.push_back(rule({nft::MatchOutputInterface{name}, nft::Return{}}));
    forward.rules.push_back(rule({nft::MatchOutputInterface{name}, nft::Return{}}));
    forward.rules.push_back(rule({nft::MatchInputInterface{name}, nft::Return{}}));
  }
  output.rules.push_back(rule({nft::MatchMark{Mark{}, ~0U, Compare::not_equal}, nft::Return{}}));
  for (nft::Chain* chain : {&output, &forward}) {
    chain->rules.push_back(rule({nft::MatchReply{}, nft::Return{}}));
    append(chain->rules, of_this_link(nft::Return{}));
  }
  for (std::uint8_t type = kFirstNeighbour; type <= kLastNeighbour; ++type) {
    output.rules.push_back(rule({nft::MatchIcmpType{Family::v6, type}, nft::Return{}}));
  }
  // A port forward from outside.
  forward.rules.push_back(rule({nft::MatchTranslated{}, nft::Return{}}));
  if (policy.wanted.bypasses) {
    const nft::MatchConnectionMark bypassed{bypassed_mark(policy), policy.wanted.marks.mask};
    output.rules.push_back(rule({bypassed, nft::Return{}}));
    forward.rules.push_back(rule({bypassed, nft::Return{}}));
  }
  append(output.rules, of_known_networks(nft::Return{}));
  append(forward.rules, of_known_networks(nft::Return{}));
  const nft::Goto refuse{"refuse"};
  append(output.rules, judge_by_wishes(policy, host, Place::local, nft::Return{}, refuse));
  append(forward.rules, judge_by_wishes(policy, host, Place::forwarded, nft::Return{}, refuse));
  nft::Chain refusal{
      "refuse",
      std::nullopt,
      0,
      {rule({nft::MatchProtocol{kTcp}, nft::Counter{}, nft::Reject{nft::Refusal::reset}}),
       rule({nft::Counter{}, nft::Reject{}})}};
  return {std::move(refusal), std::move(output), std::move(forward)};
}

}  // namespace

const std::vector<Prefix>& here(Family family) {
  static const std::vector<Prefix> v4{*Prefix::parse("224.0.0.0/4"),
                                      *Prefix::parse("255.255.255.255/32"),
                                      *Prefix::parse("169.254.0.0/16")};
  static const std::vector<Prefix> v6{*Prefix::parse("ff00::/8"), *Prefix::parse("fe80::/10")};
  return family == Family::v4 ? v4 : v6;
}

std::vector<nft::Set> bypass_sets(const std::vector<nft::SetEndpoint>& endpoints) {
  std::vector<nft::Set> both;
  for (const Family family : kFamilies) {
    nft::Set& set = both.emplace_back(
        nft::Set{"bypassed" + suffix(family), family, {}, nft::Set::Key::endpoints});
    std::ranges::copy_if(
        endpoints, std::back_inserter(set.endpoints),
        [family](const nft::SetEndpoint& one) { return one.endpoint.address.family() == family; });
  }
  return both;
}

bool carries(const Policy& policy, Family family) {
  return std::ranges::any_of(
      policy.addresses, [family](const IpAddr& address) { return address.family() == family; });
}

nft::Table make_capture(const Policy& policy, const Snapshot& host,
                        const std::vector<Prefix>& prefixes) {
  nft::Table table{capture_name(policy.interface)};
  const config::AutoRoute& wanted = policy.wanted;
  const bool walled = wanted.strict && wanted.on_stop == config::OnStop::open;
  add_wanted_sets(table, wanted, prefixes);
  if (wanted.bypasses) add_sets(table, bypass_sets({}));
  if (wanted.redirect || walled) add_sets(table, address_sets("known", intervals_of(host.known)));
  table.chains = Capture(policy, host).make();
  if (wanted.gateway) {
    table.chains.push_back(
        {"clamp", nft::Hook::forward, kMangle, {rule({nft::MatchSyn{}, nft::ClampSegments{}})}});
  }
  if (walled) std::ranges::move(wall_chains(policy, host), std::back_inserter(table.chains));
  return table;
}

std::optional<nft::Table> make_wall(const Policy& policy, const Snapshot& host,
                                    const std::vector<Prefix>& prefixes) {
  if (policy.wanted.on_stop == config::OnStop::open) return std::nullopt;
  nft::Table table{wall_name(policy.interface), false};
  add_wanted_sets(table, policy.wanted, prefixes);
  add_sets(table, address_sets("known", intervals_of(host.known)));
  table.chains = wall_chains(policy, host);
  return table;
}

std::vector<nft::Opening> make_openings(const Policy& policy, const Snapshot& host) {
  const std::string comment = opening_comment(policy.interface);
  const config::Marks& marks = policy.wanted.marks;
  std::vector<nft::Opening> openings;
  for (const nft::FilterChain& chain : host.filters) {
    if (!chain.drops) continue;
    const auto open = [&](std::vector<Statement> conditions) {
      conditions.emplace_back(nft::Accept{});
      openings.push_back({chain, {std::move(conditions)}, comment});
    };
    if (chain.hook == nft::Hook::input) {
      for (const std::string& name : policy.companions) open({nft::MatchInputInterface{name}});
      if (policy.wanted.gateway && policy.wanted.redirect) {
        open({nft::MatchProtocol{kTcp}, nft::MatchConnectionMark{marks.input, marks.mask}});
      }
    } else if (policy.wanted.gateway) {
      open({nft::MatchInputInterface{policy.interface}});
      open({nft::MatchOutputInterface{policy.interface}});
    }
  }
  return openings;
}

}  // namespace hairpin::host
