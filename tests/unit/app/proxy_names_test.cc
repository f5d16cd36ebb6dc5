#include "app/proxy_names.h"

#include <gtest/gtest.h>

#include "config/parse.h"

namespace hairpin::app {
namespace {

std::vector<std::string> to_resolve(const std::string& auto_route) {
  config::Problems problems;
  const auto config = config::parse(R"({
    "inbounds": {"type": "tun", "address": "172.18.0.1/30", "auto_route": )" +
                                        auto_route +
                                        R"(},
    "outbounds": [
      {"type": "direct", "tag": "direct"},
      {"type": "socks", "tag": "a", "server": "a.example", "server_port": 1080},
      {"type": "http", "tag": "b", "server": "b.example", "server_port": 80},
      {"type": "http", "tag": "same", "server": "a.example", "server_port": 80},
      {"type": "socks", "tag": "address", "server": "192.0.2.1", "server_port": 1080},
      {"type": "socks", "tag": "behind", "server": "c.example", "server_port": 1080, "detour": "a"},
      {"type": "socks", "tag": "told", "server": "d.example", "server_port": 1080, "domain_resolver": "dns"},
      {"type": "selector", "tag": "group", "outbounds": ["a", "b"]}],
    "dns": {"servers": [{"type": "udp", "tag": "dns", "server": "192.0.2.53"}]}})",
                                    problems);
  for (const auto& problem : problems) ADD_FAILURE() << problem.where << ": " << problem.message;
  return proxies_to_resolve(config.value_or(config::Config()));
}

TEST(ProxyNames, OfThoseThatThisHostConnectsTo) {
  EXPECT_EQ(to_resolve("true"), (std::vector<std::string>{"a.example", "b.example"}));
  EXPECT_TRUE(to_resolve("false").empty()) << "nothing is captured";
}

TEST(ProxyNames, AreThoseOfTheSystem) {
  const auto names = resolve_proxies({"localhost"});
  ASSERT_TRUE(names) << names.error().text();
  ASSERT_FALSE(names->at("localhost").empty());
  EXPECT_TRUE(names->at("localhost").front().is_loopback());
}

}  // namespace
}  // namespace hairpin::app
