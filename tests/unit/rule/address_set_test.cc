// The trie against going through all intervals one by one.
#include "rule/address_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace hairpin::rule {
namespace {

Interval interval(const char* first, const char* last) {
  return {*IpAddr::parse(first), *IpAddr::parse(last)};
}

bool holds(const std::vector<const char*>& prefixes, const char* address) {
  std::vector<Interval> intervals;
  for (const char* prefix : prefixes) intervals.push_back(interval_of(*Prefix::parse(prefix)));
  return AddressSet(intervals).contains(*IpAddr::parse(address));
}

TEST(AddressSet, Table) {
  EXPECT_FALSE(holds({}, "192.0.2.1"));
  EXPECT_TRUE(holds({"0.0.0.0/0"}, "192.0.2.1"));
  EXPECT_FALSE(holds({"0.0.0.0/0"}, "2001:db8::1"));
  EXPECT_TRUE(holds({"::/0"}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
  EXPECT_TRUE(holds({"192.0.2.1/32"}, "192.0.2.1"));
  EXPECT_FALSE(holds({"192.0.2.1/32"}, "192.0.2.0"));
  EXPECT_FALSE(holds({"192.0.2.1/32"}, "192.0.2.2"));
  EXPECT_TRUE(holds({"255.255.255.255/32", "0.0.0.0/32"}, "255.255.255.255"));
  EXPECT_TRUE(holds({"255.255.255.255/32", "0.0.0.0/32"}, "0.0.0.0"));
  EXPECT_TRUE(holds({"2001:db8::/33", "2001:db8:8000::/33"}, "2001:db8:8000::1"));
  EXPECT_FALSE(holds({"2001:db8::/33"}, "2001:db8:8000::1"));
  EXPECT_TRUE(holds({"2001:db8::1/128"}, "2001:db8::1"));
  EXPECT_FALSE(holds({"2001:db8::1/128"}, "2001:db8::"));
  EXPECT_TRUE(holds({"10.0.0.0/8", "10.1.0.0/16"}, "10.1.2.3"));
}

/// Addresses near each other and far apart, so that all levels are in use.
IpAddr any_address(std::mt19937& random, bool v6) {
  std::array<std::uint8_t, 16> bytes{};
  const std::size_t size = v6 ? 16 : 4;
  const std::size_t fixed = random() % (size + 1);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::uint8_t>(i < fixed ? 0x20 + random() % 2 : random());
  }
  return IpAddr::from_wire(std::as_bytes(std::span(bytes)).first(size));
}

TEST(AddressSet, AnswersAsGoingThroughAllDoes) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<Interval> intervals;
    for (std::size_t i = random() % 40; i > 0; --i) {
      const bool v6 = random() % 2 == 0;
      IpAddr a = any_address(random, v6);
      IpAddr b = any_address(random, v6);
      if (random() % 2 == 0) b = a;
      intervals.push_back({std::min(a, b), std::max(a, b)});
    }
    const AddressSet set(intervals);
    std::vector<IpAddr> asked;
    for (const Interval& one : intervals) {
      asked.push_back(one.first);
      asked.push_back(one.last);
      if (const auto behind = next(one.last)) asked.push_back(*behind);
    }
    for (int i = 0; i < 100; ++i) asked.push_back(any_address(random, i % 2 == 0));
    for (const IpAddr& address : asked) {
      const bool expected = std::ranges::any_of(intervals, [&](const Interval& one) {
        return one.first.family() == address.family() && one.first <= address &&
               address <= one.last;
      });
      ASSERT_EQ(set.contains(address), expected) << address.text() << " in round " << round;
    }
  }
}

TEST(AddressSet, IsSmall) {
  // 20,000 /24, none beside another.
  std::vector<Interval> intervals;
  for (unsigned i = 0; i < 20'000; ++i) {
    const auto bytes = std::array<std::uint8_t, 4>{static_cast<std::uint8_t>(10 + i / 32768),
                                                   static_cast<std::uint8_t>(i >> 7),
                                                   static_cast<std::uint8_t>(i << 1), 0};
    intervals.push_back(interval_of({IpAddr(bytes), 24}));
  }
  EXPECT_LT(AddressSet(intervals).memory(), 20'000U * 4);
  EXPECT_EQ(AddressSet().memory(), 0U);
  EXPECT_TRUE(AddressSet({interval("::1", "::1")}).contains(*IpAddr::parse("::1")));
}

}  // namespace
}  // namespace hairpin::rule
