#include "flow/reject_window.h"

#include <gtest/gtest.h>

namespace hairpin {
namespace {

using std::chrono::milliseconds;

/// Hits `count` times, `apart` milliseconds from one to the next; how many were told.
struct Hits {
  int count;
  int apart;
  int told;
};

TEST(RejectWindow, TellsFiftyTimesInThirtySeconds) {
  struct Case {
    const char* what;
    std::vector<Hits> hits;
  };
  const std::vector<Case> cases{
      {"one", {{1, 0, 1}}},
      {"all that it may, at once", {{50, 0, 50}}},
      {"one more", {{51, 0, 50}}},
      {"a flood", {{5000, 1, 50}}},
      {"as fast as it may for ever", {{1000, 601, 1000}}},
      {"a little faster: it meets silence with the 51st, and goes on to", {{1000, 599, 50}}},
      {"a pause that is long enough", {{100, 1, 50}, {1, 30'001, 1}, {49, 1, 49}, {1, 1, 0}}},
      {"a pause that is not", {{100, 1, 50}, {1, 29'900, 0}}},
      {"who is silenced and asks less is told again", {{60, 0, 50}, {100, 1000, 70}}},
  };
  for (const Case& one : cases) {
    RejectWindow window;
    RejectWindow::Time now{};
    for (const Hits& hits : one.hits) {
      int told = 0;
      for (int i = 0; i < hits.count; ++i) {
        now += milliseconds(hits.apart);
        told += window.tells(now) ? 1 : 0;
      }
      EXPECT_EQ(told, hits.told) << one.what;
    }
  }
}

TEST(RejectWindows, EachRuleHasItsOwn) {
  RejectWindows windows;
  const RejectWindow::Time now{};
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(windows.tells(3, now));
  EXPECT_FALSE(windows.tells(3, now));
  EXPECT_TRUE(windows.tells(4, now));
}

}  // namespace
}  // namespace hairpin
