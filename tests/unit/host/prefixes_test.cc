// Sets of addresses, held against an oracle that counts addresses one by one.
#include "host/prefixes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace hairpin::host {
namespace {

std::vector<Prefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<Prefix> all;
  for (const char* text : texts) all.push_back(*Prefix::parse(text));
  return all;
}

std::string text(const std::vector<Prefix>& all) {
  std::string joined;
  for (const Prefix& prefix : all) joined += (joined.empty() ? "" : " ") + prefix.text();
  return joined;
}

TEST(Prefixes, Subtract) {
  const auto all4 = prefixes({"0.0.0.0/0"});
  EXPECT_EQ(text(subtract(all4, {})), "0.0.0.0/0");
  EXPECT_EQ(text(subtract(all4, all4)), "");
  EXPECT_EQ(text(subtract(all4, prefixes({"128.0.0.0/1"}))), "0.0.0.0/1");
  EXPECT_EQ(text(subtract(prefixes({"10.0.0.0/8"}), prefixes({"10.64.0.0/10"}))),
            "10.0.0.0/10 10.128.0.0/9");
  EXPECT_EQ(text(subtract(prefixes({"192.0.2.0/30"}), prefixes({"192.0.2.1/32"}))),
            "192.0.2.0/32 192.0.2.2/31");
  // Said twice, in one another, with bits of a host; of the other family.
  EXPECT_EQ(text(subtract(prefixes({"10.1.2.3/8", "10.9.0.0/16", "10.0.0.0/8"}),
                          prefixes({"::/0", "11.0.0.0/8"}))),
            "10.0.0.0/8");
  EXPECT_EQ(text(subtract(prefixes({"::/0"}), prefixes({"8000::/1", "4000::/2"}))), "::/2");
  EXPECT_EQ(subtract(prefixes({"::/0"}), prefixes({"2001:db8::1/128"})).size(), 128U);
}

TEST(Prefixes, SubtractAgreesWithCounting) {
  std::mt19937 random(5);
  const auto some = [&random](std::size_t count) {
    std::vector<Prefix> all;
    for (; count > 0; --count) {
      const auto bits = static_cast<std::uint8_t>(random());
      all.push_back({IpAddr(std::array<std::uint8_t, 4>{10, 0, 0, bits}),
                     24 + static_cast<unsigned>(random() % 9)});
    }
    return all;
  };
  for (int round = 0; round < 300; ++round) {
    const auto these = some(1 + random() % 4);
    const auto those = some(random() % 5);
    const auto rest = subtract(these, those);
    for (unsigned last = 0; last < 256; ++last) {
      const IpAddr address(std::array<std::uint8_t, 4>{10, 0, 0, static_cast<std::uint8_t>(last)});
      const auto in = [&address](const std::vector<Prefix>& all) {
        return std::ranges::count_if(
            all, [&address](const Prefix& prefix) { return prefix.contains(address); });
      };
      ASSERT_EQ(in(rest), in(these) > 0 && in(those) == 0 ? 1 : 0)
          << text(these) << " without " << text(those) << " is " << text(rest);
    }
  }
}

}  // namespace
}  // namespace hairpin::host
