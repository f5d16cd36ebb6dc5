// Rules against what the documents say of them: tables written by hand, and an oracle that reads
// "(domain || … || ip_cidr) && (port || port_range) && …" as it stands.
#include "rule/matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "rule/explain.h"

namespace hairpin::rule {
namespace {

Interval network(const char* prefix) {
  return interval_of(*Prefix::parse(prefix));
}

/// A flow whose facts stay where they are.
struct Known {
  Facts facts;
  std::vector<IpAddr> addresses;
  Process process;

  static Known flow(const char* destination, const char* domain = "",
                    const char* source = "192.0.2.2:40000") {
    Known known;
    known.facts.destination = *Endpoint::parse(destination);
    known.facts.source = *Endpoint::parse(source);
    known.facts.domain = domain;
    return known;
  }
};

const FindSet kNoSets = [](const std::string&) { return nullptr; };

bool holds(const Rule& rule, const Known& known, const FindSet& find = kNoSets) {
  return CompiledRule(rule, find).matches(known.facts);
}

Rule with(const Conditions& conditions, bool invert = false) {
  return {Rule::Kind::conditions, conditions, {}, invert};
}

TEST(Matcher, GroupsAreAlternatives) {
  Conditions of;
  of.domain = {"exact.example"};
  of.domain_keyword = {"Word"};
  of.domain_regex = {"^stun\\..+"};
  of.ip_cidr = {network("203.0.113.0/24")};
  of.port = {{443, 443}, {1000, 2000}};
  const Rule rule = with(of);
  EXPECT_TRUE(holds(rule, Known::flow("203.0.113.1:443")));
  EXPECT_TRUE(holds(rule, Known::flow("198.51.100.1:443", "exact.example")));
  EXPECT_TRUE(holds(rule, Known::flow("198.51.100.1:1500", "swordfish.example")));
  EXPECT_TRUE(holds(rule, Known::flow("198.51.100.1:2000", "stun.example")));
  EXPECT_FALSE(holds(rule, Known::flow("198.51.100.1:443", "www.exact.example")));
  EXPECT_FALSE(holds(rule, Known::flow("198.51.100.1:443")));
  EXPECT_FALSE(holds(rule, Known::flow("203.0.113.1:80")));
  EXPECT_FALSE(holds(rule, Known::flow("203.0.113.1:0")));
}

TEST(Matcher, AddressesOfAResolvedNameCount) {
  Conditions of;
  of.ip_cidr = {network("203.0.113.0/24")};
  Known known = Known::flow("198.18.0.1:443", "a.example");
  EXPECT_FALSE(holds(with(of), known));
  known.addresses = {*IpAddr::parse("192.0.2.1"), *IpAddr::parse("203.0.113.9")};
  known.facts.addresses = known.addresses;
  EXPECT_TRUE(holds(with(of), known));
}

TEST(Matcher, WhatIsNotKnownHoldsNowhere) {
  const Known known = Known::flow("203.0.113.1:443");
  Conditions of;
  of.domain_regex = {".*"};
  EXPECT_FALSE(holds(with(of), known));
  EXPECT_TRUE(holds(with(of, true), known));
  of = {};
  of.process_name = {"curl"};
  EXPECT_FALSE(holds(with(of), known));
  of = {};
  of.foreign = {{"wifi_ssid", {"Net"}}};
  EXPECT_FALSE(holds(with(of), known));
  of = {};
  of.query_type = {1};
  EXPECT_FALSE(holds(with(of), known));
  of = {};
  of.source_mac = {{2, 0, 0, 0, 0, 1}};
  EXPECT_FALSE(holds(with(of), known));
}

TEST(Matcher, Processes) {
  Known known = Known::flow("203.0.113.1:443");
  known.process = {"/usr/bin/curl", 1000, "ann"};
  known.facts.process = &known.process;
  const auto one = [&known](auto member, auto value) {
    Conditions of;
    of.*member = {value};
    return holds(with(of), known);
  };
  using C = Conditions;
  EXPECT_TRUE(one(&C::process_name, "curl"));
  EXPECT_FALSE(one(&C::process_name, "url"));
  EXPECT_TRUE(one(&C::process_path, "/usr/bin/curl"));
  EXPECT_FALSE(one(&C::process_path, "curl"));
  EXPECT_TRUE(one(&C::process_path_regex, "^/usr/.+/curl$"));
  EXPECT_FALSE(one(&C::process_path_regex, "^/opt"));
  EXPECT_TRUE(one(&C::user, "ann"));
  EXPECT_FALSE(one(&C::user, "bob"));
  EXPECT_TRUE(one(&C::user_id, 1000U));
  EXPECT_FALSE(one(&C::user_id, 0U));
}

TEST(Matcher, LogicalRules) {
  Conditions port;
  port.port = {{443, 443}};
  Conditions udp;
  udp.network = {Network::udp};
  Rule both{Rule::Kind::all, {}, {with(port), with(udp)}, false};
  Rule either{Rule::Kind::any, {}, {with(port), with(udp)}, false};
  Known known = Known::flow("203.0.113.1:443");
  EXPECT_FALSE(holds(both, known));
  EXPECT_TRUE(holds(either, known));
  known.facts.network = Network::udp;
  EXPECT_TRUE(holds(both, known));
  both.invert = true;
  EXPECT_FALSE(holds(both, known));
  EXPECT_FALSE(holds(Rule{Rule::Kind::any, {}, {}, false}, known));
  EXPECT_TRUE(holds(Rule{Rule::Kind::all, {}, {}, false}, known));
  EXPECT_TRUE(holds(with({}), known));
  EXPECT_TRUE(holds(with({}, true), known));
}

TEST(Matcher, ThousandsOfExpressions) {
  Conditions of;
  for (int i = 0; i < 6000; ++i) {
    of.domain_regex.push_back("^ads" + std::to_string(i) + "[a-z]*\\.tracker\\.example$");
    of.adguard_domain.push_back("||ads" + std::to_string(i) + "*.guard.example^");
  }
  const CompiledRule rule(with(of), kNoSets);
  EXPECT_TRUE(rule.matches(Known::flow("192.0.2.1:1", "ads5999abc.tracker.example").facts));
  EXPECT_TRUE(rule.matches(Known::flow("192.0.2.1:1", "x.ads17y.guard.example").facts));
  EXPECT_FALSE(rule.matches(Known::flow("192.0.2.1:1", "ads6000abc.tracker.example").facts));
}

// ---- rule-sets: their groups stand beside those of the rule that names them
// ----------------------

class RuleSets : public testing::Test {
 protected:
  void add(const std::string& tag, std::vector<Rule> rules) {
    sets_[tag] = std::make_shared<CompiledSet>(RuleSet{3, std::move(rules)});
  }
  bool matches(const Conditions& of, const Known& known, bool invert = false) const {
    return holds(with(of, invert), known, [this](const std::string& tag) {
      const auto found = sets_.find(tag);
      return found == sets_.end() ? nullptr : found->second;
    });
  }
  std::map<std::string, std::shared_ptr<const CompiledSet>> sets_;
};

TEST_F(RuleSets, OneRuleOfOneSetMustHold) {
  Conditions a;
  a.domain_suffix = {"a.example"};
  Conditions b;
  b.domain_suffix = {"b.example"};
  add("ab", {with(a), with(b)});
  Conditions of;
  of.rule_set = {"none", "ab"};
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:443", "x.b.example")));
  EXPECT_FALSE(matches(of, Known::flow("203.0.113.1:443", "c.example")));
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:443", "c.example"), true));
  of.rule_set = {"none"};
  EXPECT_FALSE(matches(of, Known::flow("203.0.113.1:443", "a.example")));
}

TEST_F(RuleSets, NamesOfASetAndAddressesOfTheRuleAreAlternatives) {
  Conditions names;
  names.domain_suffix = {"a.example"};
  add("names", {with(names)});
  Conditions of;
  of.rule_set = {"names"};
  of.ip_cidr = {network("203.0.113.0/24")};
  EXPECT_TRUE(matches(of, Known::flow("198.51.100.1:443", "a.example")));
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:443", "b.example")));
  EXPECT_FALSE(matches(of, Known::flow("198.51.100.1:443", "b.example")));
  // A port is a group of its own.
  of.port = {{443, 443}};
  EXPECT_FALSE(matches(of, Known::flow("198.51.100.1:80", "a.example")));
  EXPECT_TRUE(matches(of, Known::flow("198.51.100.1:443", "a.example")));
}

TEST_F(RuleSets, APortOfASetStandsForOneOfTheRule) {
  Conditions ports;
  ports.port = {{80, 80}};
  add("ports", {with(ports)});
  Conditions of;
  of.rule_set = {"ports"};
  of.port = {{443, 443}};
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:80")));
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:443")));
  EXPECT_FALSE(matches(of, Known::flow("203.0.113.1:22")));
}

TEST_F(RuleSets, GroupsOfDifferentRulesOfASetDoNotAdd) {
  Conditions name;
  name.domain = {"a.example"};
  Conditions port;
  port.port = {{80, 80}};
  add("either", {with(name), with(port)});
  Conditions of;
  of.rule_set = {"either"};
  of.ip_cidr = {network("203.0.113.0/24")};
  of.port = {{443, 443}};
  // The name by one rule of the set, the port by the rule itself.
  EXPECT_TRUE(matches(of, Known::flow("198.51.100.1:443", "a.example")));
  // The port by the other, and nothing for the address.
  EXPECT_FALSE(matches(of, Known::flow("198.51.100.1:80", "b.example")));
  // The name by one and the port by the other.
  EXPECT_FALSE(matches(of, Known::flow("198.51.100.1:80", "a.example")));
}

TEST_F(RuleSets, AnInvertedRuleOfASetIsJudgedByItself) {
  Conditions name;
  name.domain = {"a.example"};
  add("not-a", {with(name, true)});
  Conditions of;
  of.rule_set = {"not-a"};
  of.domain_suffix = {"example"};
  EXPECT_FALSE(matches(of, Known::flow("203.0.113.1:443", "a.example")));
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:443", "b.example")));
  EXPECT_FALSE(matches(of, Known::flow("203.0.113.1:443", "b.test")));
}

TEST_F(RuleSets, AddressesMayBeOfTheSource) {
  Conditions lan;
  lan.ip_cidr = {network("192.0.2.0/24")};
  add("lan", {with(lan)});
  Conditions of;
  of.rule_set = {"lan"};
  EXPECT_FALSE(matches(of, Known::flow("203.0.113.1:443")));
  of.rule_set_ip_cidr_match_source = true;
  EXPECT_TRUE(matches(of, Known::flow("203.0.113.1:443")));
  EXPECT_FALSE(matches(of, Known::flow("192.0.2.1:443", "", "198.51.100.1:1")));
}

// ---- AdGuard's lines
// ------------------------------------------------------------------------------

TEST(Matcher, AdguardLines) {
  struct Row {
    const char* line;
    std::vector<const char*> yes, no;
  };
  for (const Row& row : {
           Row{"||example.org^",
               {"example.org", "a.example.org"},
               {"notexample.org", "example.org.uk"}},
           {"|example.org^", {"example.org"}, {"a.example.org", "example.org.uk"}},
           {"example.org^", {"example.org", "a.example.org", "notexample.org"}, {"example.org.uk"}},
           {"||example",
            {"example", "a.example", "example.org", "a.example.org"},
            {"examples.org", "anexample.org"}},
           {"|ads*.example^", {"ads.example", "ads1.x.example"}, {"a.ads.example"}},
           {"part", {"part", "a-part.b", "x.part"}, {"party", "par"}},
       }) {
    Conditions of;
    of.adguard_domain = {row.line};
    for (const char* name : row.yes)
      EXPECT_TRUE(holds(with(of), Known::flow("192.0.2.1:1", name))) << row.line << " " << name;
    for (const char* name : row.no)
      EXPECT_FALSE(holds(with(of), Known::flow("192.0.2.1:1", name))) << row.line << " " << name;
  }
}

// ---- the oracle
// -----------------------------------------------------------------------------------

/// As the documents have it, value by value.
bool documented(const Conditions& of, const Facts& facts) {
  const auto any = [](const auto& values, auto test) { return std::ranges::any_of(values, test); };
  const std::string name(facts.domain);
  const auto in = [](const IpAddr& address) {
    return [address](const Interval& one) {
      return one.first.family() == address.family() && one.first <= address && address <= one.last;
    };
  };
  const bool destination_asked = !of.domain.empty() || !of.domain_suffix.empty() ||
                                 !of.domain_keyword.empty() || !of.ip_cidr.empty();
  const bool destination =
      any(of.domain, [&](const auto& one) { return one == name; }) ||
      any(of.domain_suffix,
          [&](const auto& one) { return name == one || name.ends_with("." + one); }) ||
      any(of.domain_keyword,
          [&](const auto& one) { return !name.empty() && name.find(one) != std::string::npos; }) ||
      any(of.ip_cidr, in(facts.destination.address));
  const auto within = [](std::uint16_t port) {
    return [port](const PortRange& range) { return range.first <= port && port <= range.last; };
  };
  return (!destination_asked || destination) &&
         (of.source_ip_cidr.empty() || any(of.source_ip_cidr, in(facts.source.address))) &&
         (of.port.empty() || any(of.port, within(facts.destination.port))) &&
         (of.source_port.empty() || any(of.source_port, within(facts.source.port))) &&
         (of.network.empty() || any(of.network, [&](Network one) { return one == facts.network; }));
}

TEST(Matcher, AnswersAsTheDocumentsDo) {
  std::mt19937 random(17);
  const std::vector<std::string> names{"a", "b.a", "c.b.a", "b", "c.b"};
  const std::vector<std::string> networks{"10.0.0.0/9", "10.128.0.0/10", "10.64.0.0/16",
                                          "2001:db8::/33"};
  const std::vector<std::string> addresses{"10.0.0.1",   "10.64.1.1",   "10.190.0.1",
                                           "10.200.0.1", "2001:db8::1", "2001:db9::1"};
  const auto some = [&random](const std::vector<std::string>& from) {
    std::vector<std::string> chosen;
    for (const std::string& one : from) {
      if (random() % 6 == 0) chosen.push_back(one);
    }
    return chosen;
  };
  int held = 0;
  for (int round = 0; round < 20'000; ++round) {
    Conditions of;
    of.domain = some(names);
    of.domain_suffix = some(names);
    if (random() % 8 == 0) of.domain_keyword = {"c"};
    for (const auto& prefix : some(networks)) of.ip_cidr.push_back(network(prefix.c_str()));
    for (const auto& prefix : some(networks)) of.source_ip_cidr.push_back(network(prefix.c_str()));
    if (random() % 3 == 0) of.port = {{1, 3}, {5, 5}};
    if (random() % 5 == 0) of.source_port = {{4, 6}, {2, 3}};
    if (random() % 5 == 0) of.network = {random() % 2 == 0 ? Network::tcp : Network::udp};
    const std::string name = random() % 3 == 0 ? "" : names[random() % names.size()];
    Facts facts;
    facts.network = random() % 2 == 0 ? Network::tcp : Network::udp;
    facts.destination = {*IpAddr::parse(addresses[random() % addresses.size()]),
                         static_cast<std::uint16_t>(1 + random() % 6)};
    facts.source = {*IpAddr::parse(addresses[random() % addresses.size()]),
                    static_cast<std::uint16_t>(1 + random() % 6)};
    facts.domain = name;
    const bool expected = documented(of, facts);
    held += expected ? 1 : 0;
    const Rule rule = with(of);
    ASSERT_EQ(CompiledRule(rule, kNoSets).matches(facts), expected) << round;
    ASSERT_EQ(explain(rule, facts, kNoSets).holds, expected) << round;
    ASSERT_EQ(CompiledRule(with(of, true), kNoSets).matches(facts), !expected || is_empty(of))
        << round;
  }
  EXPECT_GT(held, 1000);
  EXPECT_LT(held, 19'000);
}

TEST(Matcher, TellsWhatItAsksFor) {
  Conditions of;
  of.port = {{443, 443}};
  EXPECT_FALSE(CompiledRule(with(of), kNoSets).needs().domain);
  of.domain = {"a"};
  of.user_id = {0};
  const Rule both{Rule::Kind::any, {}, {with(of)}, false};
  const CompiledRule compiled(both, kNoSets);
  EXPECT_TRUE(compiled.needs().domain);
  EXPECT_TRUE(compiled.needs().process);
  EXPECT_FALSE(compiled.needs().mac);
}

}  // namespace
}  // namespace hairpin::rule
