// TCP in user space, against a client made by hand: packets in, packets out.
#include "tcp/stack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "nat/packet.h"

namespace hairpin::tcp {
namespace {

using Bytes = std::vector<std::byte>;

Endpoint endpoint(const char* address, std::uint16_t port) {
  return {*IpAddr::parse(address), port};
}

/// What came out of the stack.
struct Out {
  Bytes packet;
  std::size_t segment = 0;
  const nat::TcpHeader& tcp() const {
    const std::size_t ip = std::to_integer<unsigned>(packet[0]) >> 4 == 4 ? 20 : 40;
    return nat::header_at<const nat::TcpHeader>(std::span(packet).subspan(ip));
  }
  std::span<const std::byte> payload() const {
    const std::size_t ip = std::to_integer<unsigned>(packet[0]) >> 4 == 4 ? 20 : 40;
    return std::span(packet).subspan(ip + std::size_t{tcp().offset} / 16 * 4);
  }
};

class Wire final : public Device {
 public:
  void send(std::span<const std::span<const std::byte>> pieces, std::size_t size,
            std::size_t segment) override {
    Out out;
    for (const auto piece : pieces) out.packet.insert(out.packet.end(), piece.begin(), piece.end());
    EXPECT_EQ(out.packet.size(), size);
    out.segment = segment;
    sent.push_back(std::move(out));
  }
  std::vector<Out> sent;
};

class User final : public Connection::User {
 public:
  void readable() override { ++reads; }
  void writable() override { ++writes; }
  void gone() override { ++losses; }
  int reads = 0, writes = 0, losses = 0;
};

class StackTest : public ::testing::Test {
 protected:
  void start(Settings settings = {}) {
    stack.emplace(settings, wire, blocks, [this](Connection& connection) {
      connection.set_user(user);
      accepted = &connection;
    });
  }

  Bytes packet(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement,
               std::span<const std::byte> payload = {},
               std::span<const std::uint8_t> options = {}) {
    const bool v4 = client.address.is_v4();
    const std::size_t ip = v4 ? 20 : 40;
    const std::size_t tcp_size = 20 + options.size();
    Bytes bytes(ip + tcp_size + payload.size());
    if (v4) {
      auto& header = nat::header_at<nat::Ip4Header>(std::span(bytes));
      header.version_ihl = 0x45;
      header.total_length = static_cast<std::uint16_t>(bytes.size());
      header.ttl = 64;
      header.protocol = nat::kTcp;
      std::memcpy(header.source.data(), client.address.bytes().data(), 4);
      std::memcpy(header.destination.data(), server.address.bytes().data(), 4);
    } else {
      auto& header = nat::header_at<nat::Ip6Header>(std::span(bytes));
      header.version_class_label = 0x60000000U;
      header.payload_length = static_cast<std::uint16_t>(bytes.size() - ip);
      header.next_header = nat::kTcp;
      header.hop_limit = 64;
      std::memcpy(header.source.data(), client.address.bytes().data(), 16);
      std::memcpy(header.destination.data(), server.address.bytes().data(), 16);
    }
    auto& tcp = nat::header_at<nat::TcpHeader>(std::span(bytes).subspan(ip));
    tcp.source_port = client.port;
    tcp.destination_port = server.port;
    tcp.sequence = sequence;
    tcp.acknowledgement = acknowledgement;
    tcp.offset = static_cast<std::uint8_t>(tcp_size / 4 << 4);
    tcp.flags = flags;
    tcp.window = window;
    std::ranges::copy(std::as_bytes(options), bytes.begin() + static_cast<std::ptrdiff_t>(ip + 20));
    std::ranges::copy(payload, bytes.begin() + static_cast<std::ptrdiff_t>(ip + tcp_size));
    return bytes;
  }

  void in(const Bytes& bytes) {
    Block block = blocks.take();
    std::ranges::copy(bytes, block->begin() + kHeadroom);
    stack->input(block, kHeadroom, bytes.size());
    if (block) blocks.give_back(std::move(block));
    stack->settle();
  }

  /// Shakes hands; the next of the client's numbers is 1001.
  void connect(std::uint16_t mss = 1460) {
    const std::array<std::uint8_t, 8> options{
        2, 4, static_cast<std::uint8_t>(mss >> 8), static_cast<std::uint8_t>(mss), 3, 3, 7, 1};
    in(packet(nat::TcpHeader::kSyn, 1000, 0, {}, options));
    ASSERT_EQ(wire.sent.size(), 1U);
    EXPECT_EQ(wire.sent[0].tcp().flags, nat::TcpHeader::kSyn | nat::TcpHeader::kAck);
    EXPECT_EQ(wire.sent[0].tcp().acknowledgement, 1001U);
    theirs = wire.sent[0].tcp().sequence + 1;
    wire.sent.clear();
    in(packet(nat::TcpHeader::kAck, 1001, theirs));
    ASSERT_NE(accepted, nullptr);
  }

  std::string unread() const {
    std::array<std::span<const std::byte>, 16> pieces;
    std::string text;
    for (std::size_t i = 0, n = accepted->unread(pieces); i < n; ++i) {
      text.append(reinterpret_cast<const char*>(pieces[i].data()), pieces[i].size());
    }
    return text;
  }
  static std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
  }

  Endpoint client = endpoint("192.0.2.2", 40000);
  Endpoint server = endpoint("203.0.113.10", 80);
  std::uint16_t window = 65535;
  std::uint32_t theirs = 0;
  Wire wire;
  Blocks blocks;
  User user;
  Connection* accepted = nullptr;
  std::optional<Stack> stack;
};

TEST_F(StackTest, IsEveryHost) {
  start();
  for (const auto& [from, to] :
       {std::pair{endpoint("192.0.2.2", 40000), endpoint("203.0.113.10", 80)},
        std::pair{endpoint("192.0.2.3", 40000), endpoint("198.51.100.7", 8443)},
        std::pair{endpoint("2001:db8::2", 1), endpoint("2001:db8:99::10", 65535)}}) {
    client = from;
    server = to;
    accepted = nullptr;
    wire.sent.clear();
    connect();
    EXPECT_EQ(accepted->client(), from);
    EXPECT_EQ(accepted->destination(), to);
  }
  EXPECT_EQ(stack->connections(), 3U);
}

TEST_F(StackTest, CarriesBytesBothWays) {
  start();
  connect();
  in(packet(nat::TcpHeader::kAck | nat::TcpHeader::kPsh, 1001, theirs, bytes_of("hello")));
  EXPECT_EQ(user.reads, 1);
  EXPECT_EQ(unread(), "hello");
  // One acknowledgement, at the end of the turn.
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_EQ(wire.sent[0].tcp().acknowledgement, 1006U);
  accepted->take(2);
  EXPECT_EQ(unread(), "llo");
  accepted->take(3);
  EXPECT_EQ(unread(), "");
  wire.sent.clear();
  accepted->send(bytes_of("answer"));
  stack->settle();
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_TRUE(std::ranges::equal(wire.sent[0].payload(), bytes_of("answer")));
  in(packet(nat::TcpHeader::kAck, 1006, theirs + 6));
  EXPECT_EQ(user.writes, 1);
}

TEST_F(StackTest, PiecesOfATurnAreAcknowledgedAtOnce) {
  start();
  connect();
  for (std::uint32_t i = 0; i < 10; ++i) {
    const Bytes bytes = packet(nat::TcpHeader::kAck, 1001 + i * 100, theirs, Bytes(100));
    stack->input(bytes);
  }
  stack->settle();
  EXPECT_EQ(user.reads, 1);
  EXPECT_EQ(unread().size(), 1000U);
  EXPECT_EQ(wire.sent.back().tcp().acknowledgement, 2001U);
}

TEST_F(StackTest, ABlockIsKeptUntilItIsAcknowledged) {
  start();
  connect();
  const std::size_t before = blocks.used();
  accepted->send(blocks.take(), 3000);
  stack->settle();
  EXPECT_EQ(blocks.used(), before + 1);
  in(packet(nat::TcpHeader::kAck, 1001, theirs + 1460));
  EXPECT_EQ(blocks.used(), before + 1);
  in(packet(nat::TcpHeader::kAck, 1001, theirs + 3000));
  EXPECT_EQ(blocks.used(), before);
}

TEST_F(StackTest, ADeviceThatCutsGetsLargePackets) {
  start({.mtu = 1500, .segments = true, .window = 1 << 20});
  connect();
  for (int i = 0; i < 4; ++i) {  // until the congestion window is open
    accepted->send(blocks.take(), 60'000);
    stack->settle();
    in(packet(nat::TcpHeader::kAck, 1001, theirs += 60'000));
  }
  const auto& large =
      *std::ranges::max_element(wire.sent, {}, [](const Out& out) { return out.payload().size(); });
  EXPECT_GT(large.payload().size(), 1460U * 10);
  EXPECT_EQ(large.segment, 1460U);
  for (const Out& out : wire.sent) EXPECT_EQ(out.segment != 0, out.payload().size() > 1460);
}

TEST_F(StackTest, WithoutThatEachPacketIsASegment) {
  start();
  connect();
  accepted->send(blocks.take(), 5000);
  stack->settle();
  ASSERT_FALSE(wire.sent.empty());
  for (const Out& out : wire.sent) {
    EXPECT_LE(out.payload().size(), 1460U);
    EXPECT_EQ(out.segment, 0U);
  }
}

TEST_F(StackTest, TheWindowIsWhatIsAskedFor) {
  start({.mtu = 1500, .segments = false, .window = 100'000});
  connect();
  std::uint32_t at = 1001;
  for (int i = 0; i < 40; ++i, at += 1400) {
    in(packet(nat::TcpHeader::kAck, at, theirs, Bytes(1400)));
  }
  // 56,000 bytes wait: the window (scaled by 64) has the rest.
  EXPECT_NEAR(wire.sent.back().tcp().window * 64.0, 100'000 - 56'000, 3000);
  accepted->take(56'000);
  stack->settle();
  in(packet(nat::TcpHeader::kAck, at, theirs, Bytes(100)));
  EXPECT_NEAR(wire.sent.back().tcp().window * 64.0, 100'000 - 100, 3000);
}

TEST_F(StackTest, WhoWaitsForRoomIsToldOfIt) {
  start({.mtu = 1500, .segments = false, .window = 65535});
  connect();
  std::uint32_t at = 1001;
  for (int i = 0; i < 46; ++i, at += 1400) {
    in(packet(nat::TcpHeader::kAck, at, theirs, Bytes(1400)));
  }
  EXPECT_LT(wire.sent.back().tcp().window * 64, 1400) << "the window is full";
  wire.sent.clear();
  accepted->take(1400);
  stack->settle();
  EXPECT_TRUE(wire.sent.empty()) << "not for each packet";
  accepted->take(20'000);
  stack->settle();
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_NEAR(wire.sent.back().tcp().window * 64.0, 21'400 + 1135, 200);
}

TEST_F(StackTest, EndsBothWays) {
  start();
  connect();
  in(packet(nat::TcpHeader::kAck | nat::TcpHeader::kFin, 1001, theirs, bytes_of("bye")));
  EXPECT_FALSE(accepted->ended());
  accepted->take(3);
  EXPECT_TRUE(accepted->ended());
  wire.sent.clear();
  accepted->end();
  accepted->release();
  stack->settle();
  ASSERT_FALSE(wire.sent.empty());
  EXPECT_TRUE(wire.sent.back().tcp().flags & nat::TcpHeader::kFin);
  in(packet(nat::TcpHeader::kAck, 1005, theirs + 1));
  EXPECT_EQ(stack->connections(), 0U);
  EXPECT_EQ(user.losses, 0);
}

TEST_F(StackTest, AFinThatAnswersOursIsSeenWithItsData) {
  start();
  connect();
  accepted->end();
  stack->settle();
  // Acknowledges our FIN, brings the last bytes, and ends: from here on lwIP is in TIME_WAIT.
  in(packet(nat::TcpHeader::kAck | nat::TcpHeader::kFin, 1001, theirs + 1, bytes_of("last")));
  EXPECT_EQ(unread(), "last");
  accepted->take(4);
  EXPECT_TRUE(accepted->ended());
}

TEST_F(StackTest, APortIsUsedAgain) {
  start();
  connect();
  accepted->end();
  stack->settle();
  in(packet(nat::TcpHeader::kAck | nat::TcpHeader::kFin, 1001, theirs + 1));
  accepted->release();
  stack->settle();
  ASSERT_TRUE(Stack::ticks()) << "lwIP remembers it";
  wire.sent.clear();
  in(packet(nat::TcpHeader::kSyn, 5000, 0));
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_EQ(wire.sent[0].tcp().flags, nat::TcpHeader::kSyn | nat::TcpHeader::kAck);
  EXPECT_EQ(wire.sent[0].tcp().acknowledgement, 5001U);
}

TEST_F(StackTest, AResetIsTold) {
  start();
  connect();
  in(packet(nat::TcpHeader::kRst, 1001, theirs));
  EXPECT_EQ(user.losses, 1);
  EXPECT_EQ(stack->connections(), 0U);
}

TEST_F(StackTest, OursIsSent) {
  start();
  connect();
  accepted->reset();
  stack->settle();
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_TRUE(wire.sent[0].tcp().flags & nat::TcpHeader::kRst);
  EXPECT_EQ(stack->connections(), 0U);
  EXPECT_EQ(user.losses, 0);
}

TEST_F(StackTest, WhatNobodyReadIsAReset) {
  start();
  connect();
  in(packet(nat::TcpHeader::kAck, 1001, theirs, bytes_of("unread")));
  wire.sent.clear();
  accepted->release();
  stack->settle();
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_TRUE(wire.sent[0].tcp().flags & nat::TcpHeader::kRst);
}

TEST_F(StackTest, AStrangerIsReset) {
  start();
  in(packet(nat::TcpHeader::kAck, 5000, 6000, bytes_of("what")));
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_TRUE(wire.sent[0].tcp().flags & nat::TcpHeader::kRst);
  EXPECT_EQ(wire.sent[0].tcp().sequence, 6000U);
}

TEST_F(StackTest, NumbersCannotBeGuessed) {
  start();
  connect();
  const std::uint32_t first = theirs;
  client.port = 40001;
  wire.sent.clear();
  connect();
  EXPECT_GT(std::min(theirs - first, first - theirs), 1000U);
}

TEST_F(StackTest, AStopResetsAll) {
  start();
  connect();
  stack.reset();
  ASSERT_EQ(wire.sent.size(), 1U);
  EXPECT_TRUE(wire.sent[0].tcp().flags & nat::TcpHeader::kRst);
  EXPECT_EQ(user.losses, 1);
}

}  // namespace
}  // namespace hairpin::tcp
