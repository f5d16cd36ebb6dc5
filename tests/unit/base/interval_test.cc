// Prefixes into intervals: tables, and a bitmap as an independent oracle.
#include "base/interval.h"

#include <gtest/gtest.h>

#include <bitset>
#include <random>

namespace hairpin {
namespace {

std::string text(const std::vector<const char*>& prefixes) {
  std::vector<Prefix> parsed;
  for (const char* prefix : prefixes) parsed.push_back(*Prefix::parse(prefix));
  std::string all;
  for (const Interval& interval : intervals_of(parsed)) all += interval.text() + " ";
  return all;
}

TEST(Intervals, AreMergedAndPrintedAsNftDoes) {
  EXPECT_EQ(text({}), "");
  EXPECT_EQ(text({"10.1.2.3/8"}), "10.0.0.0/8 ");
  EXPECT_EQ(text({"192.0.2.1/32"}), "192.0.2.1 ");
  EXPECT_EQ(text({"192.0.2.128/25", "192.0.2.0/25"}), "192.0.2.0/24 ");
  EXPECT_EQ(text({"192.0.2.0/25", "192.0.2.128/26"}), "192.0.2.0-192.0.2.191 ");
  EXPECT_EQ(text({"10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/32"}), "10.0.0.0-11.0.0.0 ");
  EXPECT_EQ(text({"0.0.0.0/0"}), "0.0.0.0/0 ");
  EXPECT_EQ(text({"255.255.255.255/32", "0.0.0.0/32"}), "0.0.0.0 255.255.255.255 ");
  EXPECT_EQ(text({"ff00::/8", "::/1"}), "::/1 ff00::/8 ");
  EXPECT_EQ(text({"::/0", "2001:db8::/32"}), "::/0 ");
}

TEST(Intervals, HoldTheSameAddresses) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::bitset<65536> wanted;
    std::vector<Prefix> prefixes;
    for (int i = 0; i < 12; ++i) {
      const auto length = static_cast<unsigned>(18 + random() % 15);
      const auto low = static_cast<std::uint16_t>(random());
      const IpAddr address(std::array<std::uint8_t, 4>{10, 0, static_cast<std::uint8_t>(low >> 8),
                                                       static_cast<std::uint8_t>(low)});
      prefixes.push_back({address, length});
      for (unsigned n = 0; n < 65536; ++n) {
        if ((n ^ low) >> (32 - length) == 0) wanted.set(n);
      }
    }
    std::bitset<65536> seen;
    unsigned next_free = 0;
    for (const Interval& interval : intervals_of(prefixes)) {
      const auto number = [](const IpAddr& a) { return a.bytes()[2] * 256U + a.bytes()[3]; };
      ASSERT_GE(number(interval.first), next_free) << "touches or overlaps the one before";
      for (unsigned n = number(interval.first); n <= number(interval.last); ++n) seen.set(n);
      next_free = number(interval.last) + 2;
    }
    ASSERT_EQ(seen, wanted);
  }
}

TEST(Intervals, SplitIntoPrefixes) {
  const auto split = [](const char* first, const char* last) {
    std::string all;
    for (const Prefix& prefix : prefixes_of({*IpAddr::parse(first), *IpAddr::parse(last)})) {
      all += prefix.text() + " ";
    }
    return all;
  };
  EXPECT_EQ(split("10.0.0.0", "10.255.255.255"), "10.0.0.0/8 ");
  EXPECT_EQ(split("192.0.2.1", "192.0.2.1"), "192.0.2.1/32 ");
  EXPECT_EQ(split("192.0.2.1", "192.0.2.6"),
            "192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32 ");
  EXPECT_EQ(split("0.0.0.0", "255.255.255.255"), "0.0.0.0/0 ");
  EXPECT_EQ(split("255.255.255.254", "255.255.255.255"), "255.255.255.254/31 ");
  EXPECT_EQ(split("::", "2001:db8::1"),
            "::/3 2000::/16 2001::/21 2001:800::/22 2001:c00::/24 "
            "2001:d00::/25 2001:d80::/27 2001:da0::/28 2001:db0::/29 2001:db8::/127 ");
}

}  // namespace
}  // namespace hairpin
