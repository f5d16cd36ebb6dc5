#include "flow/held.h"

#include <gtest/gtest.h>

#include <vector>

namespace hairpin {
namespace {

TEST(HeldDatagram, IsOnTheAccountAsLongAsItLives) {
  HeldBytes account;
  const std::vector<std::byte> payload{std::byte{1}, std::byte{2}, std::byte{3}};
  {
    auto copy = HeldDatagram::copy(account, payload, 10);
    ASSERT_TRUE(copy);
    EXPECT_EQ(copy->size(), 3);
    EXPECT_EQ(copy->bytes().size(), 13);
    EXPECT_EQ(copy->bytes()[12], std::byte{3});
    EXPECT_EQ(account.used(), 3 + HeldDatagram::kOverhead);
    std::vector<HeldDatagram> moved;
    moved.push_back(std::move(*copy));
    for (int i = 0; i < 10; ++i) moved.push_back(*HeldDatagram::copy(account, {}));
    EXPECT_EQ(account.used(), 3 + 11 * HeldDatagram::kOverhead);
    moved.erase(moved.begin());
    EXPECT_EQ(account.used(), 10 * HeldDatagram::kOverhead);
  }
  EXPECT_EQ(account.used(), 0);
}

TEST(HeldDatagram, TooMuchIsNotTaken) {
  HeldBytes account;
  const std::vector<std::byte> payload(65'000);
  std::vector<HeldDatagram> held;
  while (auto copy = HeldDatagram::copy(account, payload)) held.push_back(std::move(*copy));
  EXPECT_EQ(held.size(), HeldBytes::kMost / (65'000 + HeldDatagram::kOverhead));
  EXPECT_FALSE(account.take(HeldBytes::kMost));
  held.pop_back();
  EXPECT_TRUE(HeldDatagram::copy(account, payload));
  held.clear();
  EXPECT_EQ(account.used(), 0);
}

}  // namespace
}  // namespace hairpin
