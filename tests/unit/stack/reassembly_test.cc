#include "stack/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "nat/build.h"

namespace hairpin::stack {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::size_t kHeadroom = 96;
const Reassembly::Clock::time_point kNow{};

/// A datagram of `size` bytes of payload, cut into pieces of at most `mtu` bytes.
struct Cut {
  Cut(const char* from, const char* to, std::size_t size, std::size_t mtu, std::uint32_t id = 7) {
    Bytes memory(nat::kUdpHeadroom + size);
    for (std::size_t i = 0; i < size; ++i) memory[nat::kUdpHeadroom + i] = std::byte(i % 251);
    const auto whole = nat::prepend_udp(memory, nat::kUdpHeadroom, size, {*IpAddr::parse(from), 1},
                                        {*IpAddr::parse(to), 2}, static_cast<std::uint16_t>(id),
                                        nat::Coverage::complete);
    packet.assign(whole.begin(), whole.end());
    nat::Fragmenter fragmenter(packet, mtu, id);
    for (Bytes piece(mtu); const std::size_t length = fragmenter.next(piece);) {
      pieces.emplace_back(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(length));
    }
  }
  Bytes packet;
  std::vector<Bytes> pieces;
};

std::optional<Reassembly::Whole> take(Reassembly& reassembly, Bytes& piece,
                                      Reassembly::Clock::time_point now = kNow) {
  nat::Packet packet;
  EXPECT_EQ(nat::Packet::parse(piece, packet), nat::Malformed::none);
  EXPECT_TRUE(packet.is_fragment());
  return reassembly.take(packet, now);
}

/// All in this order: the datagram, or nothing.
std::optional<Reassembly::Whole> take_all(Reassembly& reassembly, std::vector<Bytes>& pieces) {
  std::optional<Reassembly::Whole> found;
  for (Bytes& piece : pieces) {
    if (auto whole = take(reassembly, piece)) {
      EXPECT_FALSE(found) << "twice";
      found = std::move(whole);
    }
  }
  return found;
}

std::span<const std::byte> payload(Reassembly::Whole& whole) {
  nat::Packet packet;
  EXPECT_EQ(nat::Packet::parse(whole.packet(), packet), nat::Malformed::none);
  EXPECT_FALSE(packet.is_fragment());
  EXPECT_EQ(packet.protocol(), nat::kUdp);
  return packet.transport();
}

struct Ends {
  const char* from;
  const char* to;
};
class BothFamilies : public ::testing::TestWithParam<Ends> {};

TEST_P(BothFamilies, AnyOrder) {
  const auto [from, to] = GetParam();
  const bool v4 = IpAddr::parse(from)->is_v4();
  std::mt19937 random(1);
  for (const std::size_t size : {std::size_t{1300}, std::size_t{9000},
                                 v4 ? nat::kMaxUdpPayload4 - 8 : nat::kMaxUdpPayload6}) {
    Cut cut(from, to, size, 1280);
    ASSERT_GT(cut.pieces.size(), 1U);
    for (int round = 0; round < 20; ++round) {
      std::ranges::shuffle(cut.pieces, random);
      Reassembly reassembly(kHeadroom);
      auto whole = take_all(reassembly, cut.pieces);
      ASSERT_TRUE(whole) << size;
      EXPECT_EQ(whole->headroom, kHeadroom);
      const std::size_t header = v4 ? 20 : 40;
      ASSERT_TRUE(std::ranges::equal(payload(*whole), std::span(cut.packet).subspan(header)));
      EXPECT_EQ(reassembly.take_dropped(), 0U);
    }
  }
}

TEST_P(BothFamilies, OneThatIsMissing) {
  const auto [from, to] = GetParam();
  const Cut cut(from, to, 9000, 1280);
  for (std::size_t missing = 0; missing < cut.pieces.size(); ++missing) {
    auto pieces = cut.pieces;
    pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(missing));
    Reassembly reassembly(kHeadroom);
    EXPECT_FALSE(take_all(reassembly, pieces)) << missing;
  }
}

TEST_P(BothFamilies, OneThatComesTwice) {
  const auto [from, to] = GetParam();
  Cut cut(from, to, 5000, 1280);
  cut.pieces.insert(cut.pieces.begin() + 1, cut.pieces.front());
  Reassembly reassembly(kHeadroom);
  EXPECT_TRUE(take_all(reassembly, cut.pieces));
}

TEST_P(BothFamilies, OverlapsForgetAll) {
  const auto [from, to] = GetParam();
  // The same datagram, cut at other places: whatever is taken first, the rest overlaps.
  Cut cut(from, to, 5000, 1280);
  const Cut other(from, to, 5000, 1400);
  cut.pieces.insert(cut.pieces.begin() + 1, other.pieces[1]);
  std::swap(cut.pieces[0], cut.pieces[2]);
  Reassembly reassembly(kHeadroom);
  EXPECT_FALSE(take_all(reassembly, cut.pieces));
  EXPECT_GT(reassembly.take_dropped(), 0U);
}

TEST_P(BothFamilies, PatienceEnds) {
  const auto [from, to] = GetParam();
  Cut cut(from, to, 2000, 1280);
  Reassembly reassembly(kHeadroom);
  EXPECT_FALSE(take(reassembly, cut.pieces[0]));
  EXPECT_FALSE(
      take(reassembly, cut.pieces[1], kNow + Reassembly::kPatience + std::chrono::seconds(1)));
  EXPECT_EQ(reassembly.take_dropped(), 1U);
}

TEST_P(BothFamilies, TheOldestGoes) {
  const auto [from, to] = GetParam();
  Reassembly reassembly(kHeadroom);
  std::vector<Cut> cuts;
  for (std::uint32_t id = 0; id <= Reassembly::kMostDatagrams; ++id) {
    cuts.emplace_back(from, to, 2000, 1280, id);
    EXPECT_FALSE(take(reassembly, cuts.back().pieces[0]));
  }
  EXPECT_EQ(reassembly.take_dropped(), 1U);
  EXPECT_FALSE(take(reassembly, cuts[0].pieces[1]));
  EXPECT_TRUE(take(reassembly, cuts[2].pieces[1]));
}

INSTANTIATE_TEST_SUITE_P(Reassembly, BothFamilies,
                         ::testing::Values(Ends{"192.0.2.1", "198.51.100.1"},
                                           Ends{"2001:db8::1", "2001:db8:1::1"}),
                         [](const auto& ends) {
                           return IpAddr::parse(ends.param.from)->is_v4() ? "v4" : "v6";
                         });

TEST(Reassembly, BehindItsEndIsNothing) {
  // The last piece says where the datagram ends; one of a longer datagram with its number lies.
  Cut small("192.0.2.1", "198.51.100.1", 2000, 1280);
  Cut large("192.0.2.1", "198.51.100.1", 9000, 1280);
  Reassembly reassembly(kHeadroom);
  EXPECT_FALSE(take(reassembly, small.pieces.back()));
  EXPECT_FALSE(take(reassembly, large.pieces[4]));
  EXPECT_EQ(reassembly.take_dropped(), 2U);
}

}  // namespace
}  // namespace hairpin::stack
