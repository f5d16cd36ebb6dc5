#include "nft/expressions.h"

#include <gtest/gtest.h>

#include <string>

#include "nft/transaction.h"

namespace hairpin::nft {
namespace {

/// The message in which a rule goes to the kernel.
std::string message_of(const Statement& statement) {
  alignas(nlmsghdr) std::array<char, 4096> buffer{};
  const RulePtr rule(nftnl_rule_alloc());
  add_expressions({{statement}}, rule.get());
  nlmsghdr* message = nftnl_nlmsg_build_hdr(buffer.data(), NFT_MSG_NEWRULE, NFPROTO_INET, 0, 1);
  nftnl_rule_nlmsg_build_payload(message, rule.get());
  return {buffer.data(), message->nlmsg_len};
}

/// An attribute as it stands in a message (linux/netlink.h).
std::string attribute(std::uint16_t type, std::string value) {
  const auto size = static_cast<std::uint16_t>(sizeof(nlattr) + value.size());
  const nlattr header{size, type};
  value.resize((value.size() + 3) / 4 * 4);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + value;
}

std::string text(std::string value) {
  return value + '\0';
}

TEST(Queue, IsAnExpressionOfNftables) {
  using namespace std::string_literals;
  const std::string message = message_of(Queue{100, 3, QueueKind::native});
  EXPECT_NE(message.find(attribute(NFTA_EXPR_NAME, text("queue"))), std::string::npos);
  EXPECT_NE(message.find(attribute(NFTA_QUEUE_NUM, "\0\x64"s)), std::string::npos);
  EXPECT_NE(message.find(attribute(NFTA_QUEUE_TOTAL, "\0\x03"s)), std::string::npos);
  EXPECT_NE(message.find(attribute(NFTA_QUEUE_FLAGS, "\0\x01"s)), std::string::npos);
}

TEST(Queue, IsATargetOfXtables) {
  using namespace std::string_literals;
  const std::string message = message_of(Queue{100, 3, QueueKind::compat});
  // NFTA_TARGET_* (linux/netfilter/nf_tables_compat.h): name, revision, data.
  EXPECT_NE(message.find(attribute(NFTA_EXPR_NAME, text("target"))), std::string::npos);
  EXPECT_NE(message.find(attribute(1, text("NFQUEUE"))), std::string::npos);
  EXPECT_NE(message.find(attribute(2, "\0\0\0\x03"s)), std::string::npos);
  // In this host's order: number, how many, bypass; and padding.
  const std::array<std::uint16_t, 4> data{100, 3, 1, 0};
  EXPECT_NE(message.find(
                attribute(3, std::string(reinterpret_cast<const char*>(data.data()), sizeof data))),
            std::string::npos);
}

}  // namespace
}  // namespace hairpin::nft
