// Routing rules as text: the words of ip-rule(8).
#include <gtest/gtest.h>

#include "platform/routes.h"

namespace hairpin::platform {
namespace {

TEST(RuleText, HasTheWordsOfIpRule) {
  Rule rule;
  rule.priority = RulePriority{9000};
  rule.table = kMainTable;
  EXPECT_EQ(text(rule), "pref 9000 lookup main protocol 72");
  rule.without_default = true;
  rule.negated = true;
  rule.to_port = 53;
  EXPECT_EQ(text(rule), "pref 9000 not dport 53 lookup main suppress_prefixlength 0 protocol 72");

  Rule jump;
  jump.priority = RulePriority{9001};
  jump.mark = Mark{0x2024};
  jump.action = RuleAction::go_to;
  jump.target = RulePriority{9011};
  EXPECT_EQ(text(jump), "pref 9001 fwmark 0x2024 goto 9011 protocol 72");
  jump.mark_mask = 0xffff;
  jump.input_interface = "lo";
  jump.users = UidRange{0, 999};
  EXPECT_EQ(text(jump),
            "pref 9001 fwmark 0x2024/0xffff iif lo uidrange 0-999 goto 9011 protocol 72");

  Rule marked;
  marked.priority = RulePriority{9001};
  marked.negated = true;
  marked.mark = Mark{};
  marked.table = TableId{2022};
  EXPECT_EQ(text(marked), "pref 9001 not fwmark 0x0/0xffffffff lookup 2022 protocol 72");

  Rule stop;
  stop.priority = RulePriority{7};
  stop.source = *Prefix::parse("0.0.0.0/32");
  stop.destination = *Prefix::parse("10.0.0.0/8");
  stop.action = RuleAction::unreachable;
  EXPECT_EQ(text(stop), "pref 7 from 0.0.0.0/32 to 10.0.0.0/8 unreachable protocol 72");
  stop.action = RuleAction::nothing;
  EXPECT_EQ(text(stop), "pref 7 from 0.0.0.0/32 to 10.0.0.0/8 nop protocol 72");
}

}  // namespace
}  // namespace hairpin::platform
