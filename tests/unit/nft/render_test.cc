// The rules as text, against golden files. tests/netns/test_link.py holds the same files against
// what the kernel lists after the table has been loaded. HAIRPIN_WRITE_GOLDEN=1 writes them anew.
#include "nft/render.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "nft/plan.h"

namespace hairpin::nft {
namespace {

TunLinkPolicy policy(std::uint16_t udp_workers) {
  TunLinkPolicy policy{"hp0", "hp0-in", Mark{0x48500007}, Mark{0x2024}, {}};
  std::uint16_t port = 1001;
  for (const Family family : {Family::v4, Family::v6}) {
    Listeners listeners{family, port++, {}};
    for (std::uint16_t i = 0; i < udp_workers; ++i) listeners.udp_ports.push_back(port++);
    policy.listeners.push_back(listeners);
  }
  return policy;
}

TEST(Render, IsTheGoldenText) {
  for (const unsigned workers : {1U, 2U, 4U, 8U, 16U}) {
    const std::string path =
        std::string(HAIRPIN_GOLDEN) + "/nft/tun-" + std::to_string(workers) + "-udp.nft";
    const std::string text = render(plan_tun_link(policy(static_cast<std::uint16_t>(workers))));
    if (std::getenv("HAIRPIN_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
    std::ostringstream golden;
    golden << std::ifstream(path).rdbuf();
    EXPECT_EQ(text, golden.str()) << path;
  }
}

TEST(Plan, WithoutAnOwnMarkThereIsNoLoopChain) {
  TunLinkPolicy elsewhere = policy(1);
  elsewhere.own_mark = Mark{};
  EXPECT_EQ(plan_tun_link(elsewhere).chains.size(), 1U);
  EXPECT_EQ(plan_tun_link(policy(1)).chains.size(), 2U);
}

}  // namespace
}  // namespace hairpin::nft
