#include "platform/stream.h"

#include <gtest/gtest.h>

#include "support/loopback.h"

namespace hairpin::platform {
namespace {

using test::eventually;

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// -1: nothing, yet.
int count(const Result<std::size_t>& got) {
  return got ? static_cast<int>(*got) : -1;
}

TEST(StreamPair, CarriesBothWaysAndEndsByHalves) {
  auto pair = open_stream_pair();
  ASSERT_TRUE(pair) << pair.error().text();
  auto& [near, far] = *pair;
  std::array<std::byte, 16> buffer;
  const auto nothing = receive(near.get(), buffer);
  ASSERT_FALSE(nothing);
  EXPECT_TRUE(would_block(nothing.error())) << nothing.error().text();

  EXPECT_EQ(send(far.get(), bytes("down")).value(), 4U);
  EXPECT_TRUE(eventually([&] { return count(receive(near.get(), buffer)) == 4; }));
  shut_down_sending(near.get());
  EXPECT_TRUE(eventually([&] { return count(receive(far.get(), buffer)) == 0; }));
  EXPECT_EQ(send(far.get(), bytes("still")).value(), 5U);
  EXPECT_TRUE(eventually([&] { return count(receive(near.get(), buffer)) == 5; }));
  const auto past = send(near.get(), bytes("x"));
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code, EPIPE) << past.error().text();
}

TEST(Stream, ErrorsNameTheCallAndWhatHasHappened) {
  auto pair = test::connected_pair();
  std::array<std::byte, 16> buffer;
  pair.one.reset();
  const auto closed = receive(pair.one.get(), buffer);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().what, "recv");
  EXPECT_TRUE(closed.error().code == EBADF || closed.error().code == ENOTSOCK)
      << closed.error().text();
  shut_down_sending(pair.other.get());
  const auto past = send(pair.other.get(), bytes("x"));
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().what, "send");
}

TEST(Stream, PeekingLeavesWhatIsThere) {
  auto pair = test::connected_pair();
  ASSERT_TRUE(send(pair.one.get(), bytes("hello")));
  std::array<std::byte, 16> buffer;
  EXPECT_TRUE(eventually([&] {
    const auto seen = peek(pair.other.get(), buffer);
    return seen && seen->size() == 5;
  }));
  EXPECT_EQ(peek(pair.other.get(), std::span(buffer).first(2)).value().size(), 2U);
  EXPECT_EQ(receive(pair.other.get(), buffer).value(), 5U);
}

TEST(Udp, ManyDatagramsOfManySizes) {
  auto to = open_udp(Family::v4, {});
  auto from = open_udp(Family::v4, {});
  ASSERT_TRUE(to && from);
  const Endpoint there{*IpAddr::parse("127.0.0.1"), *local_port(to->get())};
  DatagramBatch batch(8, 32);
  SegmentLimit limit;
  std::vector<std::byte> memory(3000, std::byte{7});
  const Burst burst{memory, 0, 1000, 1000, 3, 900};
  ASSERT_EQ(send_burst(from->get(), bytes("head"), burst, &there, limit).value(), 3U);
  std::vector<std::size_t> sizes;
  EXPECT_TRUE(eventually([&] {
    const auto received = batch.receive(to->get());
    if (!received) return false;
    for (const Received& some : *received) {
      EXPECT_EQ(some.source.port, *local_port(from->get()));
      for (std::size_t i = 0; i < some.burst.count; ++i) {
        sizes.push_back(some.burst[i].size());
        EXPECT_EQ(some.burst[i][0], std::byte{'h'});
        EXPECT_EQ(some.burst[i].back(), std::byte{7});
      }
    }
    return sizes.size() == 3;
  }));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1004, 1004, 904}));
  const auto nothing = batch.receive(to->get());
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, EAGAIN) << nothing.error().text();
}

}  // namespace
}  // namespace hairpin::platform
