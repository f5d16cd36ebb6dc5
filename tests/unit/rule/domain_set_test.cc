// The hash table against going through all names one by one.
#include "rule/domain_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace hairpin::rule {
namespace {

TEST(DomainSet, Table) {
  DomainSet set;
  set.add("Exact.example", kExact);
  set.add_suffix("example.com");
  set.add_suffix(".below.example");
  set.add("loose.test", kLoose);
  set.add("twice.example", kExact);
  set.add_suffix(".twice.example");
  set.finish();
  for (const char* name :
       {"exact.example", "example.com", "www.example.com", "a.b.example.com", "a.below.example",
        "loose.test", "a.loose.test", "xloose.test", "twice.example", "www.twice.example"}) {
    EXPECT_TRUE(set.contains(name)) << name;
  }
  for (const char* name : {"", "com", "example", "www.exact.example", "notexample.com",
                           "example.com.", "below.example", "loose.tes", "example.org", "."}) {
    EXPECT_FALSE(set.contains(name)) << name;
  }
  EXPECT_EQ(set.find("www.example.com")->entry, "example.com");
  EXPECT_EQ(set.find("www.example.com")->kind, kBelow);
  EXPECT_EQ(set.find("example.com")->kind, kExact);
}

TEST(DomainSet, EmptyOneHasNothing) {
  DomainSet set;
  EXPECT_FALSE(set.contains("example.com"));
  set.finish();
  EXPECT_FALSE(set.contains(""));
  EXPECT_TRUE(set.empty());
}

std::string any_name(std::mt19937& random) {
  std::string name;
  for (std::size_t labels = 1 + random() % 4; labels > 0; --labels) {
    if (!name.empty()) name += '.';
    for (std::size_t letters = 1 + random() % 2; letters > 0; --letters) {
      name += static_cast<char>('a' + random() % 3);
    }
  }
  return name;
}

TEST(DomainSet, AnswersAsGoingThroughAllDoes) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::pair<std::string, int>> entries;
    DomainSet set;
    for (std::size_t i = random() % 60; i > 0; --i) {
      const int kinds = 1 + static_cast<int>(random() % (round % 2 == 0 ? 3 : 7));
      entries.emplace_back(any_name(random), kinds);
      set.add(entries.back().first, static_cast<std::uint8_t>(kinds));
    }
    set.finish();
    for (int i = 0; i < 200; ++i) {
      const std::string name = any_name(random);
      const bool expected = std::ranges::any_of(entries, [&name](const auto& entry) {
        const auto& [text, kinds] = entry;
        return ((kinds & kExact) != 0 && name == text) ||
               ((kinds & kBelow) != 0 && name.ends_with("." + text)) ||
               ((kinds & kLoose) != 0 && name.ends_with(text));
      });
      ASSERT_EQ(set.contains(name), expected) << name << " in round " << round;
    }
  }
}

}  // namespace
}  // namespace hairpin::rule
