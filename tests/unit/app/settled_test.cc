#include "app/settled.h"

#include <gtest/gtest.h>

#include "config/parse.h"

namespace hairpin::app {
namespace {

config::Config parsed(const std::string& tun, const std::string& rule) {
  config::Problems problems;
  auto config = config::parse(R"({"inbounds": {"type": "tun", "address": "172.18.0.1/30",
                                               "auto_route": true)" +
                                  tun + R"(}, "outbounds": {"type": "direct", "tag": "out"},
                                  "route": {"rules": [{"port": 1, )" +
                                  rule + "}]}}",
                              problems);
  for (const auto& problem : problems) ADD_FAILURE() << problem.where << ": " << problem.message;
  return config.value_or(config::Config());
}

struct ReloadRow {
  const char* now;
  const char* next;
  const char* refused;  ///< What the answer has in it; empty: nothing.
};

TEST(Reload, OfInterfaces) {
  for (const ReloadRow& row : std::initializer_list<ReloadRow>{
           {"", "", ""},
           {"", R"(, "exclude_uid": 7)", ""},
           {"", R"(, "strict_route": true)", ""},
           {"", R"(, "mtu": 9000)", "inbounds[0].mtu"},
           {"", R"(, "tcp_handshake": "eager")", "inbounds[0].tcp_handshake"},
           {"", R"(, "auto_redirect": true)", "inbounds[0].auto_redirect"},
           {"", R"(, "include_cgroup": "a.slice")", "judged by routing rules"},
           {R"(, "include_cgroup": "a.slice")", "", "judged by routing rules"},
           {R"(, "include_cgroup": "a.slice")", R"(, "exclude_cgroup": "b.slice")", ""},
           {R"(, "auto_redirect": true)", R"(, "auto_redirect": true, "include_cgroup": "a")", ""},
           {R"(, "auto_redirect": true, "auto_redirect_nfqueue": 200)",
            R"(, "auto_redirect": true)", ""},
           {R"(, "auto_redirect": true, "auto_redirect_nfqueue": 200)",
            R"(, "auto_redirect": true, "auto_redirect_nfqueue": 300)", "nfqueue"},
           {R"(, "auto_redirect": true)",
            R"(, "auto_redirect": true, "auto_redirect_reset_mark": 9)",
            "a mark of auto_redirect"}}) {
    const auto now = parsed(row.now, R"("action": "reject")");
    auto next = parsed(row.next, R"("action": "reject")");
    keep_settled(now, next);
    const std::string refused = fixed_difference(now, next);
    EXPECT_EQ(refused.empty(), *row.refused == 0) << row.next << ": " << refused;
    EXPECT_NE(refused.find(row.refused), std::string::npos) << row.next << ": " << refused;
  }
}

TEST(Reload, OfRulesThatBypass) {
  const auto without = parsed("", R"("action": "reject")");
  const auto with = parsed("", R"("action": "bypass")");
  auto next = with;
  keep_settled(without, next);
  EXPECT_NE(fixed_difference(without, next), "");
  // The last one may go: nftables go on judging this host, about an empty set.
  next = without;
  keep_settled(with, next);
  EXPECT_EQ(fixed_difference(with, next), "");
  EXPECT_TRUE(next.inbounds[0].auto_route.bypasses);
}

}  // namespace
}  // namespace hairpin::app
