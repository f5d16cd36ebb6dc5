#include <gtest/gtest.h>
#include <unistd.h>

#include "dispatch/prepared.h"
#include "dispatch/syn_answer.h"

namespace hairpin::dispatch {
namespace {

TEST(SynAnswer, WhatADestinationWouldHaveSaid) {
  struct Case {
    int code;
    SynAnswer answer;
  };
  for (const Case& one : std::initializer_list<Case>{
           {ECONNREFUSED, SynAnswer::reset},
           {ETIMEDOUT, SynAnswer::silence},
           {ENETUNREACH, SynAnswer::network},
           {EAFNOSUPPORT, SynAnswer::network},
           {EHOSTUNREACH, SynAnswer::host},
           {EACCES, SynAnswer::administrator},
           {EMFILE, SynAnswer::reset},
           {0, SynAnswer::reset},
       }) {
    EXPECT_EQ(answer_to(Error{"x", one.code}), one.answer) << one.code;
  }
  EXPECT_FALSE(is_icmp(SynAnswer::reset));
  EXPECT_FALSE(is_icmp(SynAnswer::silence));
  EXPECT_EQ(refusal_of(SynAnswer::network), nat::Refusal::network);
  EXPECT_EQ(refusal_of(SynAnswer::host), nat::Refusal::host);
}

class PreparedTest : public testing::Test {
 protected:
  static Flow flow(std::uint16_t port) {
    return {Network::tcp, {*IpAddr::parse("192.0.2.1"), port}, {*IpAddr::parse("192.0.2.2"), 80}};
  }
  static Prepared prepared(const Flow& of, const char* through) {
    return {of, through, outbound::DetachedConnection{Fd(::dup(0)), {}, {}, {}}};
  }
};

TEST_F(PreparedTest, IsTakenOnce) {
  PreparedConnections table(2);
  EXPECT_EQ(table.put(FlowKey(flow(1)), prepared(flow(1), "a")), 0);
  EXPECT_TRUE(table.contains(FlowKey(flow(1))));
  EXPECT_FALSE(table.contains(FlowKey(flow(2))));
  EXPECT_FALSE(table.take(FlowKey(flow(2))));
  const auto taken = table.take(FlowKey(flow(1)));
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->through, "a");
  EXPECT_FALSE(table.take(FlowKey(flow(1))));
  EXPECT_EQ(table.size(), 0);
}

TEST_F(PreparedTest, TheLaterOneCounts) {
  PreparedConnections table(2);
  EXPECT_EQ(table.put(FlowKey(flow(1)), prepared(flow(1), "a")), 0);
  EXPECT_EQ(table.put(FlowKey(flow(1)), prepared(flow(1), "b")), 1);
  EXPECT_EQ(table.size(), 1);
  EXPECT_EQ(table.take(FlowKey(flow(1)))->through, "b");
  EXPECT_EQ(table.put(FlowKey(flow(1)), prepared(flow(1), "c"), 77), 0);
  EXPECT_FALSE(table.take(FlowKey(flow(2)), 78));
  EXPECT_EQ(table.take(FlowKey(flow(2)), 77)->through, "c");  // from another port
  EXPECT_EQ(table.sweep(), 0);
}

}  // namespace
}  // namespace hairpin::dispatch
