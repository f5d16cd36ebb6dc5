// Bursts over loopback: whatever is sent in bursts arrives as the datagrams that it was made of,
// and whatever arrives is put together into bursts that say the same.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <random>
#include <string>
#include <vector>

#include "platform/sockets.h"

namespace hairpin::platform {
namespace {

constexpr std::size_t kHeadroom = 96;
using Texts = std::vector<std::string>;

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Fd open_at(const std::string& address) {
  const Endpoint at{*IpAddr::parse(address), 0};
  Fd fd(::socket(at.address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  sockaddr_storage name{};
  const socklen_t size = at.to_sockaddr(name);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
  return fd;
}

/// A burst in memory of its own, `gap` bytes between the datagrams.
struct Made {
  Made(const Texts& datagrams, std::size_t gap) {
    const std::size_t size = datagrams.front().size();
    for (const std::string& datagram : datagrams) {
      const auto bytes = std::as_bytes(std::span(datagram));
      memory.insert(memory.end(), bytes.begin(), bytes.end());
      memory.resize(memory.size() + gap);
    }
    burst = {memory, 0, size + gap, size, datagrams.size(), datagrams.back().size()};
  }
  std::vector<std::byte> memory;
  Burst burst;
};

Texts datagrams(std::size_t count, std::size_t size, std::size_t last) {
  std::mt19937 random(static_cast<unsigned>(count * 31 + size));
  Texts made;
  for (std::size_t i = 0; i < count; ++i) {
    std::string one(i + 1 == count ? last : size, ' ');
    for (char& c : one) c = static_cast<char>(random());
    made.push_back(one);
  }
  return made;
}

/// All that waits at a socket, taken apart again. Each burst is checked to hold what it says.
Texts receive_all(DatagramBatch& batch, int socket, std::size_t* bursts = nullptr) {
  Texts got;
  while (const auto received = batch.receive(socket)) {
    for (const Received& one : *received) {
      EXPECT_GE(one.burst.offset, kHeadroom);
      if (bursts != nullptr) ++*bursts;
      std::size_t total = 0;
      for (std::size_t i = 0; i < one.burst.count; ++i) {
        got.push_back(text(one.burst[i]));
        total += got.back().size();
      }
      EXPECT_EQ(one.burst.total(), total);
    }
  }
  return got;
}

class Bursts : public testing::TestWithParam<const char*> {
 protected:
  Fd to_ = open_at(GetParam());
  Fd from_ = open_at(GetParam());
  Endpoint at_ = *local_endpoint(to_.get());
  DatagramBatch batch_{32, kHeadroom};

  Texts carry(std::string_view header, const Burst& burst) {
    SegmentLimit limit;
    const auto sent = send_burst(from_.get(), std::as_bytes(std::span(header)), burst, &at_, limit);
    EXPECT_TRUE(sent);
    EXPECT_EQ(*sent, burst.count);
    return receive_all(batch_, to_.get());
  }
};

TEST_P(Bursts, ArriveAsTheirDatagrams) {
  for (const std::size_t size : {1, 64, 1000, 1400, 9000}) {
    for (const std::size_t count : {1, 2, 3, 33, 64, 65, 70}) {
      if (size * count > 150'000) continue;  // what a socket's queue holds
      for (const std::size_t last : {std::size_t{1}, size}) {
        for (const std::size_t gap : {0, 7}) {
          for (const std::string header : {"", "header:"}) {
            const Texts want = datagrams(count, size, count == 1 ? size : last);
            const Made made(want, gap);
            const Texts got = carry(header, made.burst);
            ASSERT_EQ(got.size(), want.size());
            for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(got[i], header + want[i]);
          }
        }
      }
    }
  }
}

TEST_P(Bursts, AnEmptyDatagramIsOne) {
  EXPECT_EQ(carry("", Burst::single({}, 0, 0)), Texts{""});
  EXPECT_EQ(carry("h", Burst::single({}, 0, 0)), Texts{"h"});
}

TEST_P(Bursts, AMixtureComesInItsOrder) {
  std::mt19937 random(7);
  Texts want;
  SegmentLimit limit;
  for (int i = 0; i < 100; ++i) {
    std::string one(random() % 3 == 0 ? random() % 50 : 20, static_cast<char>('a' + i % 26));
    const auto bytes = std::as_writable_bytes(std::span(one));
    ASSERT_TRUE(send_burst(from_.get(), {}, Burst::single(bytes, 0, bytes.size()), &at_, limit));
    want.push_back(one);
  }
  std::size_t bursts = 0;
  EXPECT_EQ(receive_all(batch_, to_.get(), &bursts), want);
  EXPECT_LT(bursts, want.size());
}

TEST_P(Bursts, AreOfOneSender) {
  const Fd other = open_at(GetParam());
  SegmentLimit limit;
  std::string one = "same size";
  const Burst burst = Burst::single(std::as_writable_bytes(std::span(one)), 0, one.size());
  for (const int sender : {from_.get(), from_.get(), other.get(), other.get(), from_.get()}) {
    ASSERT_TRUE(send_burst(sender, {}, burst, &at_, limit));
  }
  const auto received = batch_.receive(to_.get());
  ASSERT_TRUE(received);
  std::vector<std::size_t> counts;
  for (const Received& part : *received) counts.push_back(part.burst.count);
  EXPECT_EQ(counts, (std::vector<std::size_t>{2, 2, 1}));
}

TEST_P(Bursts, MergedByTheKernelComeApart) {
  const int on = 1;
  ASSERT_EQ(::setsockopt(to_.get(), IPPROTO_UDP, UDP_GRO, &on, sizeof on), 0);
  for (const std::size_t last : {std::size_t{500}, std::size_t{1200}}) {
    const Texts want = datagrams(40, 1200, last);
    const Made made(want, 0);
    SegmentLimit limit;
    ASSERT_TRUE(send_burst(from_.get(), {}, made.burst, &at_, limit));
    std::size_t bursts = 0;
    EXPECT_EQ(receive_all(batch_, to_.get(), &bursts), want);
    EXPECT_EQ(bursts, 1U);
  }
}

TEST_P(Bursts, WhatCannotBeCutGoesOneByOne) {
  // Larger than loopback's MTU together with its headers: the kernel fragments single datagrams,
  // but does not cut such segments.
  const Texts want = datagrams(2, 32'000, 32'000);
  const Made made(want, 0);
  SegmentLimit limit{1000};
  ASSERT_TRUE(send_burst(from_.get(), {}, made.burst, &at_, limit));
  EXPECT_EQ(limit.refused, 1000U);
  EXPECT_EQ(receive_all(batch_, to_.get()), want);
}

TEST(Burst, Parts) {
  const Made made({"aaaa", "bbbb", "cccc", "d"}, 2);
  const Burst middle = made.burst.part(1, 2);
  EXPECT_EQ((Texts{text(middle[0]), text(middle[1])}), (Texts{"bbbb", "cccc"}));
  EXPECT_EQ(middle.total(), 8U);
  const Burst end = made.burst.part(3, 1);
  EXPECT_EQ((std::pair{end.size, end.last}), (std::pair{std::size_t{1}, std::size_t{1}}));
  const Burst rest = made.burst.part(0, 3).without_front(3);
  EXPECT_EQ((Texts{text(rest[0]), text(rest[2])}), (Texts{"a", "c"}));
}

INSTANTIATE_TEST_SUITE_P(Families, Bursts, testing::Values("127.0.0.1", "::1"));

}  // namespace
}  // namespace hairpin::platform
