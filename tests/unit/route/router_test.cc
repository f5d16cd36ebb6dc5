#include "route/router.h"

#include <gtest/gtest.h>

#include "config/parse.h"
#include "support/packets.h"

namespace hairpin::route {
namespace {

using test::at;

/// Outbounds a, b, c in this order; the rule under test goes to b, the default is a.
std::string decide(const std::string& rule, const Flow& flow, const std::string& final = "") {
  config::Problems problems;
  const auto config = config::parse(
      R"({"inbounds": [{"type": "tun", "tag": "one", "address": "172.18.0.1/30"},
                       {"type": "tun", "tag": "two", "address": "172.18.1.1/30"}],
          "outbounds": [{"type": "direct", "tag": "a"}, {"type": "direct", "tag": "b"}, {"type": "block", "tag": "c"}],
          "route": {)" +
          final + R"("rules": [)" + rule + "]}}",
      problems);
  for (const auto& problem : problems)
    ADD_FAILURE() << rule << ": " << problem.where << ": " << problem.message;
  if (!config) return "";
  const Decision decision = Router(*config).decide(flow);
  if (decision.action == config::Action::reject) return "reject";
  if (decision.action == config::Action::drop) return "drop";
  return config->outbounds[decision.outbound].tag;
}

const Flow kTcp{Network::tcp, at("192.168.1.5:40000"), at("203.0.113.10:443"), 0};
const Flow kUdp{Network::udp, at("192.168.1.5:40000"), at("203.0.113.10:53"), 1};
const Flow kTcp6{Network::tcp, at("[2001:db8::5]:40000"), at("[fd00::10]:443"), 0};

struct Row {
  const char* conditions;
  bool tcp, udp, tcp6;
};

TEST(Router, Conditions) {
  for (const Row& row : {
           Row{R"("network": "tcp")", true, false, true},
           {R"("network": ["tcp", "udp"])", true, true, true},
           {R"("inbound": "two")", false, true, false},
           {R"("inbound": ["one", "two"])", true, true, true},
           {R"("ip_version": 4)", true, true, false},
           {R"("ip_version": 6)", false, false, true},
           {R"("ip_cidr": "203.0.113.0/24")", true, true, false},
           {R"("ip_cidr": ["10.0.0.0/8", "fd00::/8"])", false, false, true},
           {R"("ip_is_private": true)", false, false, true},
           {R"("ip_is_private": true, "ip_cidr": "203.0.113.10")", true, true, true},
           {R"("source_ip_cidr": "192.168.0.0/16")", true, true, false},
           {R"("source_ip_is_private": true)", true, true, false},
           {R"("port": 443)", true, false, true},
           {R"("port": [53, 80])", false, true, false},
           {R"("port_range": "50:60")", false, true, false},
           {R"("port": 443, "port_range": ":60")", true, true, true},
           {R"("source_port": 40000)", true, true, true},
           {R"("source_port_range": "1:39999")", false, false, false},
           {R"("port": 443, "ip_cidr": "203.0.113.0/24")", true, false, false},
           {R"("network": "udp", "port": 443)", false, false, false},
           {R"("network": "udp", "invert": true)", true, false, true},
           {R"("port": 443, "ip_version": 4, "invert": true)", false, true, true},
       }) {
    const std::string rule = std::string("{") + row.conditions + R"(, "outbound": "b"})";
    EXPECT_EQ(decide(rule, kTcp), row.tcp ? "b" : "a") << rule;
    EXPECT_EQ(decide(rule, kUdp), row.udp ? "b" : "a") << rule;
    EXPECT_EQ(decide(rule, kTcp6), row.tcp6 ? "b" : "a") << rule;
  }
}

TEST(Router, OrderActionsAndDefault) {
  EXPECT_EQ(decide(R"({"port": 443, "outbound": "b"}, {"network": "tcp", "outbound": "c"})", kTcp),
            "b");
  EXPECT_EQ(decide(R"({"port": 444, "outbound": "b"}, {"network": "tcp", "outbound": "c"})", kTcp),
            "c");
  EXPECT_EQ(decide(R"({"port": 443, "action": "reject"})", kTcp), "reject");
  EXPECT_EQ(decide(R"({"port": 443, "action": "reject", "method": "drop"})", kTcp), "drop");
  EXPECT_EQ(decide(R"({"port": 444, "outbound": "b"})", kTcp, R"("final": "c",)"), "c");
}

}  // namespace
}  // namespace hairpin::route
