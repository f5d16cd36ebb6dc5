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

std::vector<Listeners> listeners(std::uint16_t udp_workers) {
  std::vector<Listeners> both;
  std::uint16_t port = 1001;
  for (const Family family : {Family::v4, Family::v6}) {
    Listeners one{family, port++, {}};
    for (std::uint16_t i = 0; i < udp_workers; ++i) one.udp_ports.push_back(port++);
    both.push_back(one);
  }
  return both;
}

Table tun_table(std::uint16_t workers) {
  Table table = plan_tun_link({"hp0", "hp0-in", Mark{0x48500007}, listeners(workers)});
  table.chains.push_back(plan_loop_guard("hp0", Mark{0x2024}));
  return table;
}

void expect_golden(const Table& table, const std::string& name) {
  const std::string path = std::string(HAIRPIN_GOLDEN) + "/nft/" + name + ".nft";
  const std::string text = render(table);
  if (std::getenv("HAIRPIN_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ostringstream golden;
  golden << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

constexpr EtherAddress kReleased{0x02, 0, 0, 0, 0, 0x01};

TEST(Render, IsTheGoldenText) {
  for (const std::uint16_t workers : std::initializer_list<std::uint16_t>{1, 2, 4, 8, 16}) {
    const std::string udp = std::to_string(workers) + "-udp";
    expect_golden(tun_table(workers), "tun-" + udp);
    expect_golden(plan_veth_link({"hairpin", listeners(workers), kReleased}), "veth-" + udp);
  }
  expect_golden(plan_veth_link({"hairpin", listeners(2)}), "veth-eager");
}

TEST(Render, ADestinationThatIsOneAddressHasNoLength) {
  EXPECT_EQ(render(Statement{MatchDestination{*Prefix::parse("192.0.2.1/32")}}),
            "ip daddr 192.0.2.1");
  EXPECT_EQ(render(Statement{MatchDestination{*Prefix::parse("2001:db8::/32")}}),
            "ip6 daddr 2001:db8::/32");
}

TEST(ControlGroups, KnowTheirLevel) {
  EXPECT_EQ((MatchControlGroup{"a.service"}.level()), 1U);
  EXPECT_EQ((MatchControlGroup{"user.slice/user-1000.slice/games.scope"}.level()), 3U);
}

}  // namespace
}  // namespace hairpin::nft
