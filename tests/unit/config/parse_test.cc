#include "config/parse.h"

#include <gtest/gtest.h>

#include "config/proxy_url.h"
#include "config/reader.h"

namespace hairpin::config {
namespace {

/// All problems as lines.
std::string problems_of(const std::string& text) {
  Problems problems;
  const auto config = parse(text, problems);
  EXPECT_EQ(config.has_value(), problems.empty());
  std::string lines;
  for (const Problem& problem : problems) lines += problem.where + ": " + problem.message + "\n";
  return lines;
}

Config valid(const std::string& text) {
  Problems problems;
  auto config = parse(text, problems);
  for (const Problem& problem : problems) ADD_FAILURE() << problem.where << ": " << problem.message;
  return config.value_or(Config{});
}

const std::string kTun = R"({"type": "tun", "address": "172.18.0.1/30"})";

TEST(Config, EveryField) {
  const Config config = valid(R"({
    // comments, scalars for lists, and trailing commas are accepted
    "log": {"disabled": false, "level": "warn", "output": "/tmp/x", "timestamp": false},
    "inbounds": [{"type": "tun", "tag": "in", "interface_name": "hp0", "mtu": 1500, "stack": "system",
                  "link": "tun", "address": ["172.18.0.1/30", "fdfe:dcba:9876::1/126",],
                  "udp_timeout": "2m30s", "udp_nat_max": 77, "tcp_idle_timeout": "1h",
                  "tcp_handshake": "eager"},],
    "outbounds": [
      {"type": "direct", "tag": "d", "bind_interface": "eth0", "routing_mark": "0x10", "connect_timeout": "7s"},
      {"type": "socks", "tag": "s", "server": "proxy.example", "server_port": 1080, "version": "5",
       "username": "u", "password": "p", "network": "tcp", "routing_mark": 0},
      {"type": "socks", "server": "192.0.2.1", "server_port": 1080, "pipeline": true},
      {"type": "http", "tag": "h", "server": "::1", "server_port": 8080, "username": "u", "password": ""},
      {"type": "block", "tag": "b"}], /* and
    comments of several lines */
    "route": {"final": "s", "default_mark": 99, "rules": [
      {"inbound": "in", "ip_version": 4, "network": ["tcp", "udp"], "ip_cidr": "192.0.2.0/24",
       "ip_is_private": true, "source_ip_cidr": ["198.51.100.0/24"], "source_ip_is_private": true,
       "port": [80, 443], "port_range": "1000:2000", "source_port": 5, "source_port_range": [":3", "60000:"],
       "invert": true, "action": "route", "outbound": "d"},
      {"port": 25, "action": "reject", "method": "drop"}, {"port": 26, "method": "drop", "action": "reject"},
      {"port": 27, "action": "reject"}]}
  })");
  EXPECT_EQ(config.log.level, log::Level::warn);
  EXPECT_EQ(config.log.output, "/tmp/x");
  EXPECT_FALSE(config.log.timestamp);
  const TunInbound& tun = config.inbounds.at(0);
  EXPECT_EQ(tun.interface_name, "hp0");
  EXPECT_EQ(tun.address.size(), 2U);
  EXPECT_EQ(tun.mtu, 1500U);
  EXPECT_EQ(tun.udp_timeout, std::chrono::seconds(150));
  EXPECT_EQ(tun.udp_nat_max, 77U);
  EXPECT_EQ(tun.link, LinkKind::tun);
  EXPECT_EQ(tun.tcp_handshake, Handshake::eager);
  EXPECT_EQ(tun.tcp_idle_timeout, std::chrono::hours(1));
  ASSERT_EQ(config.outbounds.size(), 5U);
  EXPECT_EQ(config.outbounds[0].dial.bind_interface, "eth0");
  EXPECT_EQ(config.outbounds[0].dial.routing_mark, Mark{16});
  EXPECT_EQ(config.outbounds[0].dial.connect_timeout, std::chrono::seconds(7));
  const auto& socks = std::get<Socks>(config.outbounds[1].kind);
  EXPECT_EQ(socks.server.host, "proxy.example");
  EXPECT_EQ(socks.server.port, 1080);
  EXPECT_TRUE(socks.tcp);
  EXPECT_FALSE(socks.udp);
  EXPECT_EQ(config.outbounds[1].dial.routing_mark, Mark{0});
  EXPECT_FALSE(socks.pipeline);
  EXPECT_TRUE(std::get<Socks>(config.outbounds[2].kind).pipeline);
  EXPECT_EQ(std::get<Http>(config.outbounds[3].kind).username, "u");
  EXPECT_TRUE(std::holds_alternative<Block>(config.outbounds[4].kind));
  EXPECT_EQ(config.route.final, "s");
  EXPECT_EQ(config.route.default_mark, Mark{99});
  const rule::Rule& whole = config.route.rules.at(0).rule;
  const rule::Conditions& rule = whole.conditions;
  EXPECT_EQ(rule.ip_version, Family::v4);
  EXPECT_EQ(rule.port.size(), 3U);
  EXPECT_EQ(rule.port[2].last, 2000);
  EXPECT_EQ(rule.source_port[1].first, 0);
  EXPECT_EQ(rule.source_port[2].last, 65535);
  EXPECT_TRUE(whole.invert);
  EXPECT_EQ(config.route.rules[1].action, Action::drop);
  EXPECT_EQ(config.route.rules[2].action, Action::drop);
  EXPECT_EQ(config.route.rules[3].action, Action::reject);
}

TEST(Config, Defaults) {
  const Config config = valid(R"({"inbounds": [)" + kTun + R"(]})");
  EXPECT_EQ(config.log.level, log::Level::info);
  EXPECT_EQ(config.inbounds[0].mtu, 0U);
  EXPECT_EQ(config.inbounds[0].udp_timeout, std::chrono::minutes(5));
  EXPECT_EQ(config.inbounds[0].tcp_idle_timeout, std::chrono::minutes(124));
  EXPECT_EQ(config.inbounds[0].udp_nat_max, 8192U);
  EXPECT_EQ(config.route.default_mark, Mark{0x2024});
  ASSERT_EQ(config.outbounds.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Direct>(config.outbounds[0].kind));
  EXPECT_EQ(config.outbounds[0].dial.connect_timeout, std::chrono::seconds(5));
  EXPECT_EQ(config.outbounds[0].dial.routing_mark, std::nullopt);
}

TEST(Config, AllProblemsAtOnce) {
  EXPECT_EQ(problems_of(R"({
    "log": {"level": "loud"},
    "inbounds": [{"type": "tun", "adress": "172.18.0.1/30", "mtu": 70000, "udp_timeout": "soon"}],
    "outbounds": [{"type": "sock", "tag": "a"}, {"type": "http", "tag": "a", "server": "x"}],
    "rout": {}
  })"),
            "inbounds[0].adress: unknown field; did you mean \"address\"?\n"
            "inbounds[0].mtu: expected a number from 1280 to 65535, got 70000\n"
            "inbounds[0].udp_timeout: expected a duration such as \"300ms\", \"30s\" or \"5m\", "
            "got \"soon\"\n"
            "log.level: expected trace, debug, info, warn, error, fatal or panic, got \"loud\"\n"
            "outbounds[0].type: unknown type \"sock\"; did you mean \"socks\"?\n"
            "outbounds[1]: \"server_port\" is missing\n"
            "rout: unknown field; did you mean \"route\"?\n");
}

struct Row {
  std::string text;
  std::string want;
};

TEST(Config, SyntaxErrorsHaveLineAndColumn) {
  for (const Row& row : {Row{"{\n  \"log\": }", "2:10: "},
                         {"", "1:1: "},
                         {"{\"a\": \"x", "1:9: "},
                         {"{} {}", "1:4: "},
                         {"[1, 2", "1:6: "},
                         {"{\n \"a\": 1e999999}", "2:7: number out of range"},
                         {"/* never closed", "1:1: "},
                         {"{\"log\": {}, // c\n \"x\" 3}", "2:6: "}}) {
    const std::string got = problems_of(row.text);
    EXPECT_EQ(got.substr(0, row.want.size()), row.want) << row.text << " gave " << got;
  }
  EXPECT_EQ(problems_of(std::string(1000, '[')), "1:1: nested too deeply\n");
}

TEST(Config, EachProblem) {
  const auto tun = [](const std::string& fields) {
    return R"({"inbounds": [{"type": "tun", "address": "172.18.0.1/30", )" + fields + "}]}";
  };
  const auto outbound = [](const std::string& fields) {
    return "{\"inbounds\": " + kTun + ", \"outbounds\": [{" + fields + "}]}";
  };
  const auto rule = [](const std::string& fields) {
    return "{\"inbounds\": " + kTun +
           R"(, "outbounds": [{"type": "direct", "tag": "out"}], "route": {"rules": [{)" + fields +
           "}]}}";
  };
  const auto dns = [](const std::string& fields, const std::string& outbounds = "") {
    return "{\"inbounds\": " + kTun + ", \"outbounds\": [" + outbounds + "], \"dns\": {" + fields +
           "}}";
  };
  for (
      const Row& row : std::vector<Row>{
          {"[]", "1:1: expected an object with \"inbounds\" and \"outbounds\"\n"},
          {"{}", ": \"inbounds\" is missing: one of type \"tun\" is needed\n"},
          {R"({"inbounds": [{"type": "tun"}]})",
           "inbounds[0]: \"address\" is missing, for example [\"172.18.0.1/30\", "
           "\"fdfe:dcba:9876::1/126\"]\n"},
          {R"({"inbounds": [{}]})", "inbounds[0]: \"type\" is missing: \"tun\"\n"},
          {R"({"inbounds": [3]})", "inbounds[0]: expected an object, got 3\n"},
          {R"({"inbounds": [)" + kTun + R"(], "log": {"level": "info", "level": "warn"}})",
           "log.level: stands twice in this object\n"},
          {tun(R"("address": ["224.0.0.1/4"])"),
           "inbounds[0].address: stands twice in this object\n"
           "inbounds[0].address: 224.0.0.1/4 is no address for an interface\n"},
          {tun(R"("interface_name": "much-too-long-a-name")"),
           "inbounds[0].interface_name: is no interface name (1 to 15 characters)\n"},
          {tun(R"("interface_name": "a/b")"),
           "inbounds[0].interface_name: is no interface name (1 to 15 characters)\n"},
          {tun(R"("stack": "lwip")"),
           "inbounds[0].stack: expected \"system\", \"userspace\" or \"mixed\", got \"lwip\"\n"},
          {tun(R"("stack": "mixed", "link": "veth")"),
           "inbounds[0].stack: needs a TUN, but \"link\" is \"veth\": leave \"link\" out, or use "
           "\"system\"\n"},
          {outbound(R"("type": "socks", "server": "h", "server_port": 1, "username": "u",
                        "pipeline": true)"),
           "outbounds[0].pipeline: cannot be had with a password\n"},
          {tun(R"("link": "bridge")"),
           "inbounds[0].link: expected \"auto\", \"veth\" or \"tun\", got \"bridge\"\n"},
          {tun(R"("tcp_handshake": "lazy")"),
           "inbounds[0].tcp_handshake: expected \"faithful\" or \"eager\", got \"lazy\"\n"},
          {tun(R"("tcp_handshake": true)"),
           "inbounds[0].tcp_handshake: expected \"faithful\" or \"eager\", got true\n"},
          {tun(R"("mtu": 1279)"),
           "inbounds[0].mtu: expected a number from 1280 to 65535, got 1279\n"},
          {tun(R"("mtu": "1500")"),
           "inbounds[0].mtu: expected a number from 1280 to 65535, got \"1500\"\n"},
          {tun(R"("udp_timeout": 5)"),
           "inbounds[0].udp_timeout: expected a duration such as \"300ms\", \"30s\" or \"5m\", "
           "got 5\n"},
          {tun(R"("auto_routes": true)"),
           "inbounds[0].auto_routes: unknown field; did you mean \"auto_route\"?\n"},
          {tun(R"("strict_route": true, "route_address": "10.0.0.0/8")"),
           "inbounds[0].strict_route: needs \"auto_route\": true\n"
           "inbounds[0].route_address: needs \"auto_route\": true\n"},
          {tun(R"("auto_route": true, "include_interface": "a", "exclude_interface": ["b"])"),
           "inbounds[0].exclude_interface: cannot be had together with include_interface\n"},
          {tun(R"("auto_route": true, "include_cgroup": ["a", "/", "b/../c"], "on_stop": "shut")"),
           "inbounds[0].include_cgroup[1]: expected the path of a control group below the root, "
           "got "
           "\"/\"\n"
           "inbounds[0].include_cgroup[2]: expected the path of a control group below the root, "
           "got "
           "\"b/../c\"\n"
           "inbounds[0].on_stop: expected \"open\" or \"closed\", got \"shut\"\n"},
          {tun(R"("auto_route": true, "exclude_mac_address": ["02:00:5e:00:53:01", "2:0:5e", 7])"),
           "inbounds[0].exclude_mac_address[1]: expected an address such as \"02:00:5e:00:53:01\", "
           "got \"2:0:5e\"\n"
           "inbounds[0].exclude_mac_address[2]: expected an address such as \"02:00:5e:00:53:01\", "
           "got 7\n"},
          {tun(R"("auto_route": true, "auto_redirect_input_mark": "0x12024")"),
           "inbounds[0].auto_redirect_input_mark: must be in the bits of auto_redirect_mark_mask, "
           "and not 0\n"},
          {tun(R"("auto_route": true, "auto_redirect": true, "auto_redirect_nfqueue": 65536)"),
           "inbounds[0].auto_redirect_nfqueue: expected a number from 0 to 65535, got 65536\n"},
          {tun(R"("auto_route": true, "auto_redirect": true, "auto_redirect_input_mark": 1,
                  "auto_redirect_reset_mark": 1, "auto_redirect_mark_mask": 3)"),
           "inbounds[0].auto_redirect_mark_mask: needs 3 bits with auto_redirect\n"
           "inbounds[0].auto_redirect_reset_mark: must be in the bits of auto_redirect_mark_mask, "
           "not 0, and not auto_redirect_input_mark\n"},
          {R"({"inbounds": [
               {"type": "tun", "address": "10.0.0.1/30", "auto_route": true},
               {"type": "tun", "address": "10.0.0.5/30", "auto_route": true,
                "iproute2_rule_index": 9010}]})",
           "inbounds[1].iproute2_table_index: is that of inbounds[0]\n"
           "inbounds[1].iproute2_rule_index: must be 20 or more from that of inbounds[0]\n"},
          {tun(R"("auto_route": true, "iproute2_table_index": 254)"),
           "inbounds[0].iproute2_table_index: is a table of the system\n"},
          {tun(R"("auto_route": true, "include_uid_range": ["5:1", "1:", 3])"),
           "inbounds[0].include_uid_range[0]: expected a range of users such as \"1000:2000\", got "
           "\"5:1\"\n"
           "inbounds[0].include_uid_range[2]: expected a range of users such as \"1000:2000\", got "
           "3\n"},
          {outbound(R"("tag": "x")"),
           "outbounds[0]: \"type\" is missing: \"direct\", \"socks\", \"http\", \"block\", "
           "\"selector\", \"urltest\", \"failover\"\n"},
          {outbound(R"("type": "socks")"),
           "outbounds[0]: \"server\" is missing\noutbounds[0]: \"server_port\" is missing\n"},
          {outbound(R"("type": "socks", "server": "a", "server_port": 0)"),
           "outbounds[0].server_port: expected a number from 1 to 65535, got 0\n"},
          {outbound(R"("type": "socks", "server": "a", "server_port": 1, "version": "4a")"),
           "outbounds[0].version: expected \"5\" (versions 4 and 4a are not supported), got "
           "\"4a\"\n"},
          {outbound(R"("type": "socks", "server": "a", "server_port": 1, "password": "x")"),
           "outbounds[0]: \"password\" needs a \"username\"\n"},
          {outbound(R"("type": "socks", "server": "a", "server_port": 1, "username": ")" +
                    std::string(256, 'u') + "\""),
           "outbounds[0].username: is longer than 255 bytes\n"},
          {outbound(R"("type": "direct", "server": "a")"),
           "outbounds[0].server: unknown field; known here: type tag bind_interface routing_mark "
           "connect_timeout domain_resolver inet4_bind_address inet6_bind_address reuse_addr "
           "fallback_delay\n"},
          {outbound(R"("type": "direct", "routing_mark": -1)"),
           "outbounds[0].routing_mark: expected a mark: a number below 2^32, or a text such as "
           "\"0x2024\", got -1\n"},
          {outbound(R"("type": "direct", "routing_mark": "0x1g")"),
           "outbounds[0].routing_mark: expected a mark: a number below 2^32, or a text such as "
           "\"0x2024\", got "
           "\"0x1g\"\n"},
          {rule(R"("port": 80)"), "route.rules[0]: \"outbound\" is missing\n"},
          {rule(R"("port": 80, "outbound": "oud")"),
           "route.rules[0].outbound: no outbound has the tag \"oud\"; did you mean \"out\"?\n"},
          {rule(R"("port": 80, "action": "reject", "outbound": "out")"),
           "route.rules[0]: \"reject\" takes no \"outbound\"\n"},
          {rule(R"("port": 80, "method": "drop", "outbound": "out")"),
           "route.rules[0]: \"method\" needs action \"reject\"\n"},
          {rule(R"("port": 80, "action": "sniffle")"),
           "route.rules[0].action: expected \"route\", \"bypass\", \"reject\", "
           "\"hijack-dns\", \"sniff\", "
           "\"resolve\" or \"route-options\", got \"sniffle\"\n"},
          {rule(R"("action": "sniff", "outbound": "out")"),
           "route.rules[0]: \"sniff\" takes no \"outbound\"\n"},
          {rule(R"("action": "sniff", "sniffer": ["tls", "gopher"])"),
           "route.rules[0].sniffer[1]: expected tls, http, ssh, bittorrent, dns, quic, stun, dtls "
           "or "
           "ntp, got \"gopher\"\n"},
          {rule(R"("sniffer": "tls", "outbound": "out")"),
           "route.rules[0]: \"sniffer\" needs action \"sniff\"\n"},
          {rule(R"("action": "reject", "override_port": 9)"),
           "route.rules[0]: \"override_port\" needs action \"route\" or \"route-options\"\n"},
          {rule(R"("action": "route-options", "port": 80)"),
           "route.rules[0]: has no option to set\n"},
          {rule(R"("override_address": "name", "outbound": "out")"),
           "route.rules[0].override_address: expected an address, got \"name\"\n"},
          {rule(R"("protocol": "gopher", "outbound": "out")"),
           "route.rules[0].protocol: expected tls, http, ssh, bittorrent, dns, quic, stun, dtls or "
           "ntp, got \"gopher\"\n"},
          {rule(R"("domain_regex": "(", "outbound": "out")"),
           "route.rules[0].domain_regex: is no regular expression: missing ): (\n"},
          {rule(R"("rule_set": "none", "outbound": "out")"),
           "route.rules[0].rule_set: no rule-set has the tag \"none\"\n"},
          {"{\"inbounds\": " + kTun +
               R"(, "route": {"rules": [{"prt": 80}, {"port": 80, "outbound": "x"}]}})",
           "route.rules[0].prt: unknown field; did you mean \"port\"?\n"
           "route.rules[1].outbound: no outbound has the tag \"x\"\n"},
          {rule(R"("type": "logical", "mode": "xor", "rules": {"port": 1}, "outbound": "out")"),
           "route.rules[0].mode: expected \"and\" or \"or\", got \"xor\"\n"},
          {rule(
               R"("type": "logical", "mode": "or", "rules": {"inbound": "nobody"}, "outbound": "out")"),
           "route.rules[0].rules[0].inbound: no inbound has the tag \"nobody\"\n"},
          {rule(
               R"("type": "logical", "mode": "or", "rules": [{"port": 80, "outbound": "out"}], "outbound": "out")"),
           "route.rules[0].rules[0].outbound: unknown field; known here: network domain "
           "domain_suffix domain_keyword domain_regex ip_cidr source_ip_cidr port port_range "
           "source_port source_port_range process_name process_path process_path_regex invert type "
           "source_mac_address user user_id protocol inbound ip_version ip_is_private "
           "source_ip_is_private rule_set "
           "rule_set_ip_cidr_match_source\n"},
          {rule(R"("source_mac_address": ["02:00:5e:00:53:01", "02:00"], "outbound": "out")"),
           "route.rules[0].source_mac_address[1]: expected an address such as "
           "\"02:00:5e:00:53:01\", got \"02:00\"\n"},
          {rule(R"("port": [80, 70000], "outbound": "out")"),
           "route.rules[0].port[1]: expected a number from 1 to 65535, got 70000\n"},
          {rule(R"("port_range": "9:8", "outbound": "out")"),
           "route.rules[0].port_range: expected a range of ports such as \"1000:2000\", \":3000\" "
           "or \"4000:\", got "
           "\"9:8\"\n"},
          {rule(R"("ip_cidr": "1.2.3.4/33", "outbound": "out")"),
           "route.rules[0].ip_cidr: expected an address with a length such as \"172.18.0.1/30\", "
           "got "
           "\"1.2.3.4/33\"\n"},
          {rule(R"("network": "icmp", "outbound": "out")"),
           "route.rules[0].network: expected \"tcp\" or \"udp\", got \"icmp\"\n"},
          {rule(R"("inbound": "nowhere", "outbound": "out")"),
           "route.rules[0].inbound: no inbound has the tag \"nowhere\"\n"},
          {"{\"inbounds\": " + kTun + R"(, "route": {"final": "x"}})",
           "route.final: no outbound has the tag \"x\"\n"},
          {R"({"inbounds": [)" + kTun + "," + kTun + "]}",
           "inbounds[1].address: 172.18.0.1 is used twice\n"},
          {rule(R"("action": "hijack-dns")"),
           "route.rules[0]: needs a server in \"dns.servers\" that answers\n"},
          {rule(R"("action": "resolve", "strategy": "ipv5_only")"),
           "route.rules[0].strategy: expected \"prefer_ipv4\", \"prefer_ipv6\", \"ipv4_only\" or "
           "\"ipv6_only\", got \"ipv5_only\"\n"
           "route.rules[0]: needs a server in \"dns.servers\" that answers\n"},
          {rule(R"("outbound": "out", "server": "x")"),
           "route.rules[0]: \"server\" needs action \"resolve\"\n"
           "route.rules[0].server: no DNS server has the tag \"x\"\n"},
          {R"({"inbounds": {"type": "tun", "address": "172.18.0.1/30", "auto_route": true},
               "outbounds": [{"type": "direct", "tag": "out", "routing_mark": 7}],
               "route": {"default_mark": 0, "rules": [{"port": 80, "action": "bypass"}]}})",
           "route.rules[0]: bypasses without an \"outbound\", and route.default_mark is 0: with "
           "auto_route the connections that it makes would be captured\n"},
          {R"({"inbounds": {"type": "tun", "address": "172.18.0.1/30", "auto_route": true,
                            "auto_redirect_input_mark": 1, "auto_redirect_mark_mask": 3},
               "outbounds": [{"type": "direct", "tag": "out", "routing_mark": 2}],
               "route": {"rules": [{"port": 80, "action": "bypass", "outbound": "out"}]}})",
           "inbounds[0].auto_redirect_mark_mask: needs 3 bits for rules that bypass\n"},
          {rule(R"("action": "bypass", "outbound": "nowhere")"),
           "route.rules[0].outbound: no outbound has the tag \"nowhere\"\n"},
          {rule(R"("action": "bypass", "override_port": 1)"),
           "route.rules[0]: \"override_port\" needs action \"route\" or \"route-options\"\n"},
          {dns(R"("servers": [{"type": "https", "server": "192.0.2.1",
                              "headers": {"Content-Length": "5"}}])"),
           "dns.servers[0].headers.Content-Length: cannot be chosen\n"},
          // Two ways through one outbound: the second one needs the name.
          {dns(R"("servers": [{"type": "udp", "tag": "a", "server": "192.0.2.1", "detour": "g"}])",
               R"({"type": "selector", "tag": "g", "outbounds": ["one", "two"]},
                  {"type": "socks", "tag": "one", "server": "192.0.2.7", "server_port": 1,
                   "detour": "d"},
                  {"type": "socks", "tag": "two", "server": "two.example", "server_port": 1,
                   "detour": "d"},
                  {"type": "direct", "tag": "d", "domain_resolver": "a"})"),
           "dns.servers[0].detour: leads through outbound \"two\", whose server's address would be "
           "asked of this DNS server itself; give that outbound an address, or a "
           "\"domain_resolver\" that is reached another way\n"},
          {dns(R"("servers": [{"tag": "a"}])"),
           "dns.servers[0]: \"type\" is missing: \"udp\", \"tcp\", \"tls\", \"https\", \"local\", "
           "\"hosts\" or \"fakeip\"\n"},
          {dns(R"("servers": [{"type": "udp"}])"), "dns.servers[0]: \"server\" is missing\n"},
          {dns(R"("servers": [{"type": "udp", "server": "192.0.2.1", "detour": "x"}])"),
           "dns.servers[0].detour: no outbound has the tag \"x\"\n"},
          {dns(R"("servers": [{"type": "udp", "tag": "a", "server": "dns.example",
                  "domain_resolver": "b"},
                 {"type": "tcp", "tag": "b", "server": "other.example", "domain_resolver": "a"}])"),
           "dns.servers[0].server: its address would be asked of itself; give an address, or a "
           "\"domain_resolver\" that has one\n"
           "dns.servers[1].server: its address would be asked of itself; give an address, or a "
           "\"domain_resolver\" that has one\n"},
          {dns(R"("servers": [{"type": "udp", "tag": "a", "server": "192.0.2.1", "detour": "p"}])",
               R"({"type": "socks", "tag": "p", "server": "proxy.example", "server_port": 1,
                   "domain_resolver": "a"})"),
           "dns.servers[0].detour: leads through outbound \"p\", whose server's address would be "
           "asked of this DNS server itself; give that outbound an address, or a "
           "\"domain_resolver\" that is reached another way\n"},
          // The first of two proxies is the one whose name is asked for; a group may lead there.
          {dns(R"("servers": [{"type": "local", "tag": "l", "detour": "g"},
                 {"type": "tls", "tag": "b", "server": "dns.example", "domain_resolver": "l"}])",
               R"({"type": "selector", "tag": "g", "outbounds": ["last"]},
                  {"type": "socks", "tag": "last", "server": "last.example", "server_port": 1,
                   "detour": "first"},
                  {"type": "http", "tag": "first", "server": "first.example", "server_port": 1,
                   "domain_resolver": "b"})"),
           "dns.servers[0].detour: leads through outbound \"first\", whose server's address would "
           "be asked of this DNS server itself; give that outbound an address, or a "
           "\"domain_resolver\" that is reached another way\n"
           "dns.servers[1].server: its address would be asked of itself; give an address, or a "
           "\"domain_resolver\" that has one\n"},
          {dns(R"("servers": [{"type": "udp", "tag": "a", "server": "192.0.2.1"}],
                 "client_subnet": "x", "rules": [{"action": "reject", "client_subnet": "10.0.0.0/8"},
                 {"action": "reject", "method": "drop", "no_drop": true}])"),
           "dns.client_subnet: expected a network such as \"198.51.100.0/24\", got \"x\"\n"
           "dns.rules[0]: \"client_subnet\" needs action \"route\" or \"route-options\"\n"
           "dns.rules[1]: \"no_drop\" needs action \"reject\" with method \"default\"\n"},
          {rule(R"("action": "reject", "method": "drop", "no_drop": true)"),
           "route.rules[0]: \"no_drop\" needs action \"reject\" with method \"default\"\n"},
          {rule(R"("outbound": "out", "client_subnet": "10.0.0.0/8")"),
           "route.rules[0]: \"client_subnet\" needs action \"resolve\"\n"},
          {dns(R"("servers": [{"type": "fakeip", "tag": "f"}])"),
           "dns.final: is a server of type \"fakeip\": there must be one that knows real "
           "addresses\n"},
          {dns(R"("servers": [{"type": "local", "tag": "l"}, {"type": "fakeip", "inet4_range":
                  "198.18.0.0/30"}, {"type": "fakeip", "inet6_range": "10.0.0.0/8"}])"),
           "dns.servers[1].inet4_range: has too few addresses: at least 16 are needed\n"
           "dns.servers[2].inet6_range: is not of IPv6\n"},
          {dns(R"("servers": [{"type": "local"}, {"type": "fakeip"}, {"type": "fakeip"}])"),
           "dns.servers[2]: there can be one server of type \"fakeip\" only\n"},
          {dns(R"("servers": [{"type": "hosts", "predefined": {"a": "b"}}])"),
           "dns.servers[0].predefined.a: expected an address, got \"b\"\n"},
          {dns(R"("servers": [{"type": "local", "tag": "l"}], "rules": [{"server": "m"}])"),
           "dns.rules[0].server: no DNS server has the tag \"m\"; did you mean \"l\"?\n"},
          {dns(R"("servers": [{"type": "local", "tag": "l"}], "rules": [{"domain": "a"}])"),
           "dns.rules[0]: \"server\" is missing\n"},
          {dns(R"("servers": [{"type": "local", "tag": "l"}],
                 "rules": [{"action": "predefined", "answer": "a. IN A 192.0.2.300"}])"),
           "dns.rules[0]: \"a. IN A 192.0.2.300\" is no record: Syntax error, could not "
           "parse the RR's rdata\n"},
          {dns(R"("cache_capacity": 5)"),
           "dns.cache_capacity: expected a number from 1024 to 1000000, got 5\n"},
      }) {
    EXPECT_EQ(problems_of(row.text), row.want) << row.text;
  }
}

TEST(Config, CommentsKeepOffsets) {
  EXPECT_EQ(without_comments("[1, // a\n2,]"), "[1,     \n2 ]");
  EXPECT_EQ(without_comments("{\"a//b\": 1, /* x\n */ }"), "{\"a//b\": 1      \n    }");
  EXPECT_EQ(without_comments(R"(["\",]", 1,])"), R"(["\",]", 1 ])");
}

TEST(Config, Durations) {
  for (const auto& [text, milliseconds] :
       std::vector<std::pair<std::string, int>>{{"1ms", 1},
                                                {"5s", 5000},
                                                {"5m", 300000},
                                                {"2h4m", 7440000},
                                                {"1d", 86400000},
                                                {"1m500ms", 60500}}) {
    EXPECT_EQ(parse_duration(text), Duration(milliseconds)) << text;
  }
  for (const char* text :
       {"", "5", "m", "5x", "-5s", "5 s", "1.5s", "99999999999999999999s", "367d", "s5"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Config, NearestNames) {
  const std::vector<std::string_view> known{"address", "mtu", "interface_name"};
  EXPECT_EQ(nearest("adress", known), "address");
  EXPECT_EQ(nearest("interface", known), "");
  EXPECT_EQ(nearest("interface_nam", known), "interface_name");
  EXPECT_EQ(nearest(std::string(100000, 'a'), known), "");
}

TEST(ProxyUrl, Valid) {
  for (
      const auto& [url, want] : std::vector<std::pair<std::string, std::string>>{
          {"socks5://127.0.0.1",
           R"({"server":"127.0.0.1","server_port":1080,"tag":"proxy","type":"socks"})"},
          {"socks5h://h.example:99/",
           R"({"server":"h.example","server_port":99,"tag":"proxy","type":"socks"})"},
          {"http://[::1]:3128",
           R"({"server":"::1","server_port":3128,"tag":"proxy","type":"http"})"},
          {"http://[::1]", R"({"server":"::1","server_port":8080,"tag":"proxy","type":"http"})"},
          {"https://h",
           R"({"server":"h","server_port":443,"tag":"proxy","tls":{"enabled":true},"type":"http"})"},
          {"http://u%40x:p%3aw@h",
           R"({"password":"p:w","server":"h","server_port":8080,"tag":"proxy","type":"http","username":"u@x"})"},
          {"socks5://u@h",
           R"({"password":"","server":"h","server_port":1080,"tag":"proxy","type":"socks","username":"u"})"},
          {"direct://", R"({"tag":"proxy","type":"direct"})"},
          {"block://", R"({"tag":"proxy","type":"block"})"}}) {
    const auto parsed = parse_proxy_url(url);
    ASSERT_TRUE(parsed) << url;
    EXPECT_EQ(parsed->dump(), want) << url;
  }
}

TEST(ProxyUrl, Invalid) {
  for (const char* url :
       {"", "127.0.0.1:1080", "ftp://h", "socks5://", "socks5://:80", "socks5://h:", "socks5://h:0",
        "socks5://h:65536", "socks5://h:x", "socks5://::1:80", "socks5://[::1", "socks5://[::1]x",
        "socks5://[1.2.3.4]:80", "http://h/path", "http://u%4:p@h", "http://:p@h", "direct://x",
        "http://%zz@h", "http://h?x"}) {
    const auto parsed = parse_proxy_url(url);
    EXPECT_TRUE(parsed.has_error()) << url;
    EXPECT_NE(parsed.error().what.find("expected for example"), std::string::npos);
  }
}

}  // namespace
}  // namespace hairpin::config
