#include "outbound/group_state.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace hairpin::outbound {
namespace {

/// Each member: a delay; 0: not measured; -1: failed; beyond 1000: not usable, otherwise the rest.
struct StateRow {
  std::vector<int> members;
  std::size_t current;
  int tolerance;
  int fastest;  ///< -1: none.
  int first;
};

TEST(Choice, Table) {
  for (const StateRow& row : std::vector<StateRow>{
           {{10, 20}, 0, 0, 0, 0},
           {{20, 10}, 0, 0, 1, 0},
           {{20, 10}, 0, 10, 0, 0},  // better, but not by more than the tolerance
           {{21, 10}, 0, 10, 1, 0},
           {{20, 10}, 1, 10, 1, 0},
           {{10, 10}, 1, 0, 1, 0},      // a tie moves nothing
           {{30, 10, 10}, 0, 5, 1, 0},  // of two that are better the first
           {{0, 0}, 1, 0, 1, 0},        // not measured yet
           {{0, 10}, 0, 50, 1, 0},      // what is measured goes before what is not
           {{-1, 10}, 0, 50, 1, 1},
           {{-1, 0}, 0, 50, 1, 1},
           {{-1, -1}, 1, 50, 1, 0},    // all have failed: the URL may be at fault
           {{1010, 20}, 0, 50, 1, 1},  // faster, but cannot be used
           {{1000, -1}, 0, 50, 1, 1},
           {{1000, 1000}, 0, 50, -1, -1},
           {{10}, 0, 0, 0, 0},
           {{10}, 7, 0, 0, 0},  // of a time when there were more
       }) {
    std::vector<Health> members;
    std::vector<bool> usable;
    for (const int member : row.members) {
      usable.push_back(member < 1000);
      Health& health = members.emplace_back();
      health.failed = member == -1;
      if (member % 1000 > 0) health.delay = Delay(member % 1000);
    }
    const auto number = [](std::optional<std::size_t> choice) {
      return choice ? static_cast<int>(*choice) : -1;
    };
    const auto text = testing::PrintToString(row.members);
    EXPECT_EQ(number(choose_fastest(members, usable, row.current, Delay(row.tolerance))),
              row.fastest)
        << text << " from " << row.current;
    EXPECT_EQ(number(choose_first(members, usable)), row.first) << text;
  }
}

config::Group of(config::Group::How how, std::vector<std::string> members) {
  config::Group group;
  group.how = how;
  group.outbounds = std::move(members);
  return group;
}

TEST(GroupState, SelectsAndTells) {
  GroupState group("g", of(config::Group::How::selector, {"a", "b"}), nullptr);
  std::vector<std::string> told;
  group.on_change([&told](const std::string& member) {
    told.push_back(member);
    return told.size() < 2;
  });
  EXPECT_EQ(group.current(config::Network::tcp), 0U);
  EXPECT_TRUE(group.select("b"));
  EXPECT_TRUE(group.select("b"));
  EXPECT_EQ(group.current(config::Network::tcp), 1U);
  EXPECT_EQ(group.current(config::Network::udp), 1U);
  EXPECT_TRUE(group.select("a"));
  EXPECT_TRUE(group.select("b"));  // nobody listens any more
  EXPECT_EQ(told, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(group.select("c").error().text(), "\"g\" has no outbound \"c\"; it has a b");
  GroupState other("f", of(config::Group::How::failover, {"a"}), nullptr);
  EXPECT_FALSE(other.select("a"));
}

TEST(GroupState, TakesUpWhatWasKnown) {
  GroupState before("g", of(config::Group::How::urltest, {"a", "b", "c"}), nullptr);
  before.measured(0, Delay(10));
  before.failed(1);
  before.use(config::Network::tcp, 2);
  const GroupState after("g", of(config::Group::How::urltest, {"c", "b", "d"}), &before);
  EXPECT_EQ(after.current(config::Network::tcp), 0U);
  const auto health = after.health();
  EXPECT_TRUE(health[1].failed);
  EXPECT_FALSE(health[2].failed || health[2].delay);
  // The one in use is gone.
  const GroupState later("g", of(config::Group::How::urltest, {"a", "b"}), &after);
  EXPECT_EQ(later.current(config::Network::tcp), 0U);
}

TEST(GroupState, OneTriesForAll) {
  config::Group settings = of(config::Group::How::failover, {"a", "b"});
  settings.retry_after = config::Duration(300);
  GroupState group("g", settings, nullptr);
  EXPECT_FALSE(group.claim_retry(0)) << "has not failed";
  group.failed(0);
  EXPECT_FALSE(group.claim_retry(0)) << "too early";
  std::this_thread::sleep_for(std::chrono::milliseconds(310));
  EXPECT_TRUE(group.claim_retry(0));
  EXPECT_FALSE(group.claim_retry(0)) << "somebody does already";
  group.works(0);
  EXPECT_FALSE(group.health()[0].failed);
}

TEST(GroupState, RestsWhenUnused) {
  config::Group settings = of(config::Group::How::urltest, {"a"});
  settings.idle_timeout = config::Duration(300);
  GroupState group("g", settings, nullptr);
  int woken = 0;
  EXPECT_TRUE(group.claim_measuring([&woken] { ++woken; }));
  EXPECT_FALSE(group.claim_measuring([] {}));
  EXPECT_FALSE(group.rest_if_idle());
  std::this_thread::sleep_for(std::chrono::milliseconds(310));
  EXPECT_TRUE(group.rest_if_idle());
  group.touch();
  group.touch();
  EXPECT_EQ(woken, 1);
}

TEST(Groups, AreKeptWhileNothingChanges) {
  config::Config config;
  config.outbounds.push_back({"a", {}, config::Direct{}});
  config.outbounds.push_back({"g", {}, of(config::Group::How::selector, {"a"})});
  const auto first = make_groups(config, nullptr, nullptr);
  EXPECT_EQ(make_groups(config, &config, first), first);
  config::Config changed = config;
  changed.outbounds[0].dial.bind_interface = "eth1";
  const auto second = make_groups(changed, &config, first);
  EXPECT_NE(second, first);
  EXPECT_TRUE(first->by_tag.at("g")->retired());
  EXPECT_FALSE(second->by_tag.at("g")->retired());
}

}  // namespace
}  // namespace hairpin::outbound
