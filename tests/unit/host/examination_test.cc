// What is made of facts about a host: no host is asked here.
#include "host/examination.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "host/local_proxy.h"

namespace hairpin::host {
namespace {

config::Config routed() {
  config::Config config;
  config::TunInbound tun;
  tun.interface_name = "hp0";
  tun.address = {*Prefix::parse("172.18.0.1/30")};
  tun.auto_route.enabled = true;
  config.inbounds.push_back(tun);
  config.outbounds.push_back({"proxy", {}, config::Socks{}});
  return config;
}

Facts healthy() {
  Facts facts;
  facts.network_administration = facts.system_administration = true;
  facts.interfaces = {{IfIndex{2}, "eth0", true}};
  platform::FoundRoute route;
  route.destination = *Prefix::parse("192.168.1.0/24");
  route.device = IfIndex{2};
  facts.routes.push_back(route);
  return facts;
}

/// "state check" of all findings that are not good.
std::string complaints(const config::Config& config, const Facts& facts) {
  std::string all;
  for (const Finding& finding : judge(config, facts)) {
    if (finding.state == Finding::State::good) continue;
    EXPECT_FALSE(finding.evidence.empty());
    EXPECT_FALSE(finding.cure.empty()) << finding.check;
    all += std::string(all.empty() ? "" : ", ") + name(finding.state) + " " + finding.check;
  }
  return all;
}

TEST(Examination, FindsWhatIsWrong) {
  const auto with = [](auto change) {
    Facts facts = healthy();
    facts.forwards4 = true;
    change(facts);
    return complaints(routed(), facts);
  };
  EXPECT_EQ(with([](Facts&) {}), "");
  EXPECT_EQ(with([](Facts& facts) { facts.forwards4 = false; }), "notice forwarding");
  EXPECT_EQ(with([](Facts& facts) { facts.network_administration = false; }), "wrong permissions");
  EXPECT_EQ(with([](Facts& facts) { facts.system_administration = false; }), "");
  EXPECT_EQ(with([](Facts& facts) {
              facts.system_administration = false;
              facts.tun_device = "/dev/net/tun: No such file or directory";
            }),
            "wrong permissions");
  EXPECT_EQ(with([](Facts& facts) { facts.tables = "nftables: rule …"; }), "wrong nftables");
  EXPECT_EQ(with([](Facts& facts) { facts.left.rules.push_back({}); }), "notice leftovers");
  EXPECT_EQ(with([](Facts& facts) { facts.left.walls.push_back("hairpin-wall-hp0"); }),
            "wrong leftovers");
  EXPECT_EQ(with([](Facts& facts) { facts.taken.push_back({}); }), "wrong routing table");
  EXPECT_EQ(with([](Facts& facts) {
              facts.taken.push_back({});
              facts.left.running.push_back("hp0");
            }),
            "");
  EXPECT_EQ(with([](Facts& facts) {
              platform::ListedRule rule;
              rule.rule.priority = RulePriority{9010};
              facts.rules.push_back(rule);
              rule.rule.priority = RulePriority{9011};
              facts.rules.push_back(rule);
            }),
            "wrong routing rules");
  EXPECT_EQ(with([](Facts& facts) {
              platform::ListedRule rule;
              rule.rule.mark = Mark{0x23};
              rule.rule.mark_mask = 0xff;
              facts.rules.push_back(rule);
              rule.rule.mark = Mark{0x10000};
              rule.rule.mark_mask = 0xff0000;
              facts.rules.push_back(rule);
            }),
            "notice marks");
  EXPECT_EQ(with([](Facts& facts) {
              facts.filters.push_back({1, "t", "f", nft::Hook::forward, true});
              facts.filters.push_back({1, "t", "i", nft::Hook::input, true});
              facts.filters.push_back({1, "t", "o", nft::Hook::forward, false});
            }),
            "notice firewall");
  EXPECT_EQ(with([](Facts& facts) {
              for (const char* text : {"9.9.9.9", "192.168.1.1", "127.0.0.53"}) {
                facts.resolvers.push_back(*IpAddr::parse(text));
              }
            }),
            "notice DNS, notice DNS");
  EXPECT_EQ(with([](Facts& facts) {
              platform::FoundRoute route;
              route.destination = *Prefix::parse("::/0");
              facts.routes.push_back(route);
            }),
            "wrong IPv6");
  EXPECT_EQ(with([](Facts& facts) { facts.proxies = "cannot be told"; }), "wrong proxy");
}

TEST(Refusals, AreAboutAddresses) {
  config::Config config = routed();
  EXPECT_TRUE(refusals(config, healthy()).empty());
  config.inbounds[0].address = {*Prefix::parse("192.168.1.200/30")};
  ASSERT_EQ(refusals(config, healthy()).size(), 1U);
  EXPECT_EQ(refusals(config, healthy())[0],
            "inbounds[0].address: 192.168.1.200/30 overlaps 192.168.1.0/24 on eth0, which would be "
            "cut off; choose another");
  config.inbounds[0].auto_route.enabled = false;
  EXPECT_TRUE(refusals(config, healthy()).empty());
  config = routed();
  std::get<config::Socks>(config.outbounds[0].kind).server = {"172.18.0.2", 1080};
  EXPECT_EQ(refusals(config, healthy()).size(), 1U);
}

TEST(LocalProxies, AreKeptOutByWhatIsTheirsAlone) {
  const Endpoint proxy{*IpAddr::parse("127.0.0.1"), 1080};
  Owner owner{1000, "ssh", "user.slice/session-1.scope", false, true, false};
  const auto shared = keep_out(proxy, owner);
  ASSERT_FALSE(shared);
  EXPECT_NE(shared.error().text().find("hairpin bypass -- ssh"), std::string::npos);
  owner.alone_in_group = true;
  EXPECT_EQ(keep_out(proxy, owner)->how, KeepOut::How::group);
  owner.user_runs_others = false;
  EXPECT_EQ(keep_out(proxy, owner)->how, KeepOut::How::user);
  EXPECT_EQ(keep_out(proxy, owner)->user, 1000U);
  owner.sockets_are_marked = true;
  EXPECT_EQ(keep_out(proxy, owner)->how, KeepOut::How::already);
}

TEST(LocalProxies, AreThoseOnThisHost) {
  config::Config config = routed();
  const auto server = [&config](const char* host) {
    std::get<config::Socks>(config.outbounds[0].kind).server = {host, 1080};
    return local_proxies(config, {*IpAddr::parse("192.168.1.5")}).size();
  };
  EXPECT_EQ(server("127.0.0.1"), 1U);
  EXPECT_EQ(server("::1"), 1U);
  EXPECT_EQ(server("localhost"), 1U);
  EXPECT_EQ(server("192.168.1.5"), 1U);
  EXPECT_EQ(server("192.168.1.6"), 0U);
  EXPECT_EQ(server("proxy.example"), 0U);
}

}  // namespace
}  // namespace hairpin::host
