#include <gtest/gtest.h>

#include <random>

#include "nat/build.h"
#include "nat/checksum.h"
#include "nat/mirror.h"
#include "nat/opening.h"
#include "nat/translate.h"
#include "nat/virtio.h"
#include "support/packets.h"

namespace hairpin::nat {
namespace {

using namespace hairpin::test;  // NOLINT(google-build-using-namespace)

const IpAddr kOwn4 = ip("172.18.0.1");
const IpAddr kOwn6 = ip("fdfe:dcba:9876::1");
const IpAddr kLan4 = ip("192.0.2.2");
const IpAddr kLan6 = ip("2001:db8:1::2");
const IpAddr kFar4 = ip("203.0.113.10");
const IpAddr kFar6 = ip("2001:db8:99::10");

Translator translator() {
  return Translator(std::array{kOwn4, kOwn6});
}

unsigned address_sum(const IpAddr& address) {
  return naive_sum(std::as_bytes(address.bytes()));
}

// ---- checksum
// ------------------------------------------------------------------------------------

TEST(Checksum, IsTheNaiveOneForEveryLength) {
  std::mt19937 random(7);
  Bytes bytes(2100);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    const auto part = std::span(bytes).first(size);
    ASSERT_EQ(Sum().add(part).folded(), naive_sum(part)) << size;
  }
  const Bytes ones(65536, std::byte{0xff});
  EXPECT_EQ(Sum().add(ones).folded(), 0xffff);
}

TEST(Checksum, UpdatingAWordIsTheSameAsSummingAgain) {
  std::mt19937 random(8);
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes(20);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    const std::uint16_t checksum = Sum().add(bytes).complement();
    const auto before = static_cast<std::uint16_t>(get16(bytes, 6));
    const auto after = static_cast<std::uint16_t>(random());
    set16(bytes, 6, after);
    // 0 and 0xffff are one number in one's complement: compare what a receiver checks.
    const unsigned total = naive_sum(bytes, updated(checksum, before, after));
    ASSERT_EQ(total, 0xffffU);
  }
}

// ---- mirror
// --------------------------------------------------------------------------------------

TEST(Mirror, OfTheDesignsExample) {
  EXPECT_EQ(mirror_of(ip("172.19.0.1")).mirror, ip("169.254.2.22"));
  EXPECT_EQ(mirror_of(kOwn6).mirror, ip("fdfe:dcba:9876::1:0"));
}

TEST(Mirror, HasTheSameSumAndIsAnotherAddress) {
  std::mt19937 random(9);
  for (int i = 0; i < 200000; ++i) {
    std::array<std::uint8_t, 4> v4{};
    std::array<std::uint8_t, 16> v6{};
    for (auto& byte : v4)
      byte = static_cast<std::uint8_t>(random() % 3 == 0 ? 0xff * (random() % 2) : random());
    for (auto& byte : v6)
      byte = static_cast<std::uint8_t>(random() % 3 == 0 ? 0xff * (random() % 2) : random());
    if (i % 5 == 0) v4 = {169, 254, v4[2], v4[3]};
    for (const IpAddr& address : {IpAddr(v4), IpAddr(v6)}) {
      if (address.is_unspecified()) continue;
      const IpAddr mirror = mirror_of(address).mirror;
      ASSERT_NE(mirror, address) << address.text();
      ASSERT_EQ(address_sum(mirror) % 0xffff, address_sum(address) % 0xffff) << address.text();
      if (address.is_v4()) {
        ASSERT_TRUE(Prefix::parse("169.254.0.0/16")->contains(mirror) ||
                    Prefix::parse("198.18.0.0/16")->contains(mirror));
      } else {
        ASSERT_TRUE((Prefix{address, 96}).contains(mirror));
      }
    }
  }
}

// ---- parsing
// -------------------------------------------------------------------------------------

struct ParseRow {
  const char* name;
  Bytes bytes;
  Malformed want;
  unsigned protocol = 0;
  bool later = false;
  std::size_t transport = 0;
};

Bytes cut(Bytes bytes, std::size_t size) {
  bytes.resize(size);
  return bytes;
}
Bytes with(Bytes bytes, std::size_t offset, unsigned value) {
  bytes[offset] = static_cast<std::byte>(value);
  return bytes;
}
Bytes chain(std::initializer_list<unsigned> body, unsigned first) {
  Bytes bytes;
  put(bytes, body);
  return wrap(kLan6, kFar6, first, bytes);
}

TEST(Packet, Parses) {
  const Bytes v4 = udp({kLan4, 1}, {kFar4, 2}, 10);
  const Bytes v6 = udp({kLan6, 1}, {kFar6, 2}, 10);
  const std::vector<ParseRow> rows{
      {"empty", {}, Malformed::empty},
      {"version 0", Bytes(40), Malformed::bad_version},
      {"version 5", with(v4, 0, 0x55), Malformed::bad_version},
      {"v4", v4, Malformed::none, 17, false, 18},
      {"v4 cut in the header", cut(v4, 19), Malformed::short_header},
      {"v4 header length 4 words", with(v4, 0, 0x44), Malformed::short_header},
      {"v4 options beyond the packet", cut(with(v4, 0, 0x4f), 38), Malformed::short_header},
      {"v4 options", wrap(kLan4, kFar4, 17, Bytes(8), 7), Malformed::none, 17, false, 8},
      {"v4 longer than read", cut(v4, 37), Malformed::bad_length},
      {"v4 shorter than its header", with(with(v4, 2, 0), 3, 19), Malformed::bad_length},
      {"v4 with trailing bytes", cut(v4, 60), Malformed::none, 17, false, 18},
      {"v4 first fragment", wrap(kLan4, kFar4, 17, Bytes(8), 5, 0x2000), Malformed::none, 17, false,
       8},
      {"v4 later fragment", wrap(kLan4, kFar4, 17, Bytes(8), 5, 0x2001), Malformed::none, 17, true,
       8},
      {"v6", v6, Malformed::none, 17, false, 18},
      {"v6 cut in the header", cut(v6, 39), Malformed::short_header},
      {"v6 longer than read", cut(v6, 57), Malformed::bad_length},
      {"v6 no next header", chain({}, 59), Malformed::none, 59, false, 0},
      {"v6 hop-by-hop", chain({17, 0, 1, 4, 0, 0, 0, 0, 9, 9}, 0), Malformed::none, 17, false, 2},
      {"v6 options of 16 bytes", chain({6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, 60),
       Malformed::none, 6, false, 1},
      {"v6 chain cut", chain({17, 0, 1, 4}, 0), Malformed::bad_extensions},
      {"v6 chain longer than the packet", chain({17, 1, 1, 4, 0, 0, 0, 0}, 0),
       Malformed::bad_extensions},
      {"v6 fragment, first", chain({17, 0, 0, 1, 0, 0, 0, 7, 1, 2}, 44), Malformed::none, 17, false,
       2},
      {"v6 fragment, later", chain({17, 0, 0, 9, 0, 0, 0, 7, 1, 2}, 44), Malformed::none, 17, true,
       2},
      {"v6 later fragment of a chain", chain({60, 0, 0, 8, 0, 0, 0, 7, 255, 255}, 44),
       Malformed::none, 60, true, 2},
      {"v6 authentication counts in fours", chain({17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5}, 51),
       Malformed::none, 17, false, 1},
      {"v6 endless chain",
       chain({60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0,
              60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0,
              60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0},
             60),
       Malformed::bad_extensions},
  };
  for (ParseRow row : rows) {
    SCOPED_TRACE(row.name);
    Packet packet;
    EXPECT_EQ(Packet::parse(row.bytes, packet), row.want);
    if (row.want != Malformed::none) continue;
    EXPECT_EQ(packet.protocol(), row.protocol);
    EXPECT_EQ(packet.is_later_fragment(), row.later);
    EXPECT_EQ(packet.transport().size(), row.transport);
  }
}

// ---- translation
// ---------------------------------------------------------------------------------

struct TranslateRow {
  const char* name;
  Bytes bytes;
  Verdict want;
  IpAddr source;  ///< After translation, for Verdict::forward.
  IpAddr destination;
};

TEST(Translate, Outer) {
  const IpAddr mirror4 = mirror_of(kOwn4).mirror;
  const IpAddr mirror6 = mirror_of(kOwn6).mirror;
  const std::vector<TranslateRow> rows{
      {"tcp of the host, v4", tcp({kOwn4, 40000}, {kFar4, 80}, TcpHeader::kSyn), Verdict::forward,
       kFar4, mirror4},
      {"tcp of the host, v6", tcp({kOwn6, 40000}, {kFar6, 80}, TcpHeader::kSyn), Verdict::forward,
       kFar6, mirror6},
      {"tcp of a client, v4", tcp({kLan4, 40000}, {kFar4, 80}, TcpHeader::kAck, 99),
       Verdict::forward, kFar4, kLan4},
      {"udp of a client, v6", udp({kLan6, 40000}, {kFar6, 53}, 33), Verdict::forward, kFar6, kLan6},
      {"later fragment", wrap(kLan4, kFar4, 17, Bytes(8), 5, 1), Verdict::forward, kFar4, kLan4},
      {"options", wrap(kOwn4, kFar4, 6, Bytes(20), 6), Verdict::forward, kFar4, mirror4},
      {"echo request, v4", icmp(kLan4, kFar4, 8, 0), Verdict::echo, {}, {}},
      {"echo request, v6", icmp(kLan6, kFar6, 128, 0), Verdict::echo, {}, {}},
      {"echo reply", icmp(kLan4, kFar4, 0, 0), Verdict::drop_icmp, {}, {}},
      {"port unreachable", icmp(kLan4, kFar4, 3, 3), Verdict::drop_icmp, {}, {}},
      {"neighbour discovery", icmp(kLan6, kFar6, 135, 0), Verdict::drop_icmp, {}, {}},
      {"icmp cut", wrap(kLan4, kFar4, 1, Bytes(7)), Verdict::drop_icmp, {}, {}},
      {"icmp number in v6", wrap(kLan6, kFar6, 1, Bytes(8)), Verdict::unreachable, {}, {}},
      {"gre", wrap(kLan4, kFar4, 47, Bytes(8)), Verdict::unreachable, {}, {}},
      {"sctp", wrap(kLan6, kFar6, 132, Bytes(8)), Verdict::unreachable, {}, {}},
      {"to multicast", udp({kLan4, 1}, {ip("224.0.0.251"), 5353}, 3), Verdict::drop_scope, {}, {}},
      {"to multicast, v6", udp({kLan6, 1}, {ip("ff02::fb"), 5353}, 3), Verdict::drop_scope, {}, {}},
      {"to broadcast",
       udp({kLan4, 68}, {ip("255.255.255.255"), 67}, 3),
       Verdict::drop_scope,
       {},
       {}},
      {"from 0.0.0.0", udp({ip("0.0.0.0"), 68}, {kFar4, 67}, 3), Verdict::drop_scope, {}, {}},
      {"from 0.1.2.3", udp({ip("0.1.2.3"), 68}, {kFar4, 67}, 3), Verdict::drop_scope, {}, {}},
      {"from loopback", udp({ip("127.0.0.1"), 68}, {kFar4, 67}, 3), Verdict::drop_scope, {}, {}},
      {"to link-local", udp({kLan6, 68}, {ip("fe80::1"), 67}, 3), Verdict::drop_scope, {}, {}},
      {"from the mirror", udp({mirror4, 68}, {kFar4, 67}, 3), Verdict::drop_mirror, {}, {}},
      {"to the mirror", udp({kLan6, 68}, {mirror6, 67}, 3), Verdict::drop_mirror, {}, {}},
      {"garbage", Bytes(60, std::byte{0xee}), Verdict::drop_malformed, {}, {}},
  };
  for (TranslateRow row : rows) {
    SCOPED_TRACE(row.name);
    const Bytes before = row.bytes;
    Packet packet;
    EXPECT_EQ(translator().outer(row.bytes, packet), row.want);
    if (row.want != Verdict::forward) {
      EXPECT_EQ(row.bytes, before);
      continue;
    }
    EXPECT_EQ(packet.source(), row.source);
    EXPECT_EQ(packet.destination(), row.destination);
  }
}

/// The listener's answer: the same packet with the two ends of its transport header exchanged.
Bytes answered(const Bytes& packet) {
  Packet view;
  Bytes copy = packet;
  EXPECT_EQ(Packet::parse(copy, view), Malformed::none);
  const auto body = view.transport();
  Bytes out(body.begin(), body.end());
  std::swap(out[0], out[2]);
  std::swap(out[1], out[3]);
  return wrap(view.destination(), view.source(), view.protocol(), out);
}

TEST(Translate, TheAnswerComesFromWhomTheClientAsked) {
  for (const auto& [client, far] :
       {std::pair{kOwn4, kFar4}, {kOwn6, kFar6}, {kLan4, kFar4}, {kLan6, kFar6}}) {
    for (const std::uint16_t port : {std::uint16_t{40000}, std::uint16_t{80}}) {
      Bytes packet = tcp({client, port}, {far, 80}, TcpHeader::kSyn, 13);
      Packet view;
      ASSERT_EQ(translator().outer(packet, view), Verdict::forward);
      EXPECT_EQ(complaint(packet), "");
      // Only the addresses have changed, and what the listener sees is not what it answers.
      Bytes answer = answered(packet);
      EXPECT_EQ(complaint(answer), "");
      ASSERT_EQ(translator().inner(answer, view), Verdict::forward);
      EXPECT_EQ(complaint(answer), "");
      EXPECT_EQ(view.source(), far);
      EXPECT_EQ(view.destination(), client);
    }
  }
}

TEST(Translate, TheHostsOwnFlowNeverLooksLikeItsAnswer) {
  // C:p → D:p, turned, must not be D:p → C:p.
  Bytes packet = tcp({kOwn4, 5201}, {kFar4, 5201}, TcpHeader::kSyn);
  Packet view;
  ASSERT_EQ(translator().outer(packet, view), Verdict::forward);
  EXPECT_NE(view.destination(), kOwn4);
  EXPECT_EQ(translator().client_address(view.destination()), kOwn4);
  EXPECT_EQ(translator().client_address(kLan4), kLan4);
}

TEST(Translate, InnerTakesOnlyWhatListenersSend) {
  Packet view;
  for (Bytes bytes : {icmp(kLan4, kFar4, 8, 0), icmp(kLan6, kFar6, 133, 0),
                      wrap(kLan4, kFar4, 47, Bytes(8)), udp({kLan4, 1}, {ip("224.0.0.1"), 2}, 3)}) {
    EXPECT_EQ(translator().inner(bytes, view), Verdict::drop_unexpected);
  }
  Bytes garbage(33, std::byte{1});
  EXPECT_EQ(translator().inner(garbage, view), Verdict::drop_malformed);
}

TEST(Translate, AddressesWithOneMirrorBetweenThem) {
  // 10.0.0.1 and 10.1.0.0 have one sum, so one mirror: the second goes without.
  const std::array addresses{ip("10.0.0.1"), ip("10.1.0.0"), ip("10.0.0.1")};
  const Translator both(addresses);
  ASSERT_EQ(both.mirrors().size(), 1U);
  EXPECT_EQ(both.mirrors()[0].address, ip("10.0.0.1"));
}

TEST(Translate, TurningBackGivesTheOriginal) {
  const Translator translate = translator();
  for (const auto& [from, to] :
       {std::pair{kOwn4, kFar4}, {kLan4, kFar4}, {kOwn6, kFar6}, {kLan6, kFar6}}) {
    Bytes bytes = tcp({from, 40000}, {to, 443}, TcpHeader::kSyn);
    const Bytes before = bytes;
    Packet packet;
    ASSERT_EQ(translate.outer(bytes, packet), Verdict::forward);
    ASSERT_NE(bytes, before);
    translate.turn_back(packet);
    EXPECT_EQ(bytes, before);
  }
}

// ---- building
// ------------------------------------------------------------------------------------

TEST(Build, UdpIsWhatTheOracleBuilds) {
  for (const auto& [from, to] : {std::pair{kFar4, kLan4}, {kFar6, kLan6}}) {
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{512}, std::size_t{65507}}) {
      const Bytes want = udp({from, 53}, {to, 40000}, size);
      Bytes buffer(64 + size);
      std::copy(want.end() - static_cast<std::ptrdiff_t>(size), want.end(), buffer.begin() + 64);
      const auto got =
          prepend_udp(buffer, 64, size, {from, 53}, {to, 40000}, 0x1234, Coverage::complete);
      ASSERT_EQ(complaint(got), "");
      EXPECT_TRUE(std::ranges::equal(got, want));
    }
  }
}

TEST(Build, UdpWithAPendingChecksumHoldsThePseudoHeader) {
  Bytes buffer(64 + 100, std::byte{0x5a});
  const auto packet =
      prepend_udp(buffer, 64, 100, {kFar4, 53}, {kLan4, 4000}, 1, Coverage::pseudo_only);
  // What the kernel does with VIRTIO_NET_HDR_F_NEEDS_CSUM: sum from the transport header on, field
  // included, and put the complement there.
  Bytes finished(packet.begin(), packet.end());
  set16(finished, 26, ~naive_sum(std::span(finished).subspan(20)) & 0xffff);
  EXPECT_EQ(complaint(finished), "");
}

TEST(Build, AZeroUdpChecksumIsSentAsOnes) {
  // Find the payload whose sum makes the checksum zero.
  Bytes buffer(64 + 2);
  auto packet = prepend_udp(buffer, 64, 2, {kFar6, 53}, {kLan6, 4000}, 1, Coverage::complete);
  const unsigned checksum = get16(packet, 46);
  set16(buffer, 64, checksum);
  packet = prepend_udp(buffer, 64, 2, {kFar6, 53}, {kLan6, 4000}, 1, Coverage::complete);
  EXPECT_EQ(get16(packet, 46), 0xffffU);
  EXPECT_EQ(complaint(packet), "");
}

TEST(Build, FragmentsAddUpToThePacket) {
  for (const Endpoint& client : {Endpoint{kLan4, 4000}, Endpoint{kLan6, 4000}}) {
    const bool v4 = client.address.is_v4();
    const Endpoint far{v4 ? kFar4 : kFar6, 53};
    // Offsets count units of 8 bytes (IPv4), or stand above three flag bits (IPv6).
    const std::size_t field = v4 ? 6 : 42;
    const auto offset_of = [&](const Bytes& out) {
      return v4 ? (get16(out, field) & 0x1fffU) * 8 : get16(out, field) & ~7U;
    };
    for (const std::size_t size : {1300, 1232 - 8, 5000, 60000}) {
      const Bytes whole = udp(far, client, size);
      Fragmenter fragmenter(whole, 1280, 77);
      Bytes joined;
      Bytes out(1280);
      bool more = true;
      while (const std::size_t length = fragmenter.next(out)) {
        ASSERT_TRUE(more) << "a fragment behind the last one";
        ASSERT_LE(length, 1280U);
        Packet view;
        ASSERT_EQ(Packet::parse(std::span(out).first(length), view), Malformed::none);
        EXPECT_EQ(view.bytes().size(), length);
        EXPECT_EQ(view.protocol(), 17);
        EXPECT_EQ(view.is_later_fragment(), !joined.empty());
        EXPECT_EQ(offset_of(out), joined.size());
        EXPECT_EQ(get16(out, v4 ? 4 : 46), v4 ? get16(whole, 4) : 77U);
        if (v4) {
          EXPECT_EQ(Sum().add(std::span(out).first(20)).complement(), 0U);
        }
        more = (get16(out, field) & (v4 ? 0x2000U : 1U)) != 0;
        joined.insert(joined.end(), view.transport().begin(), view.transport().end());
      }
      EXPECT_FALSE(more);
      EXPECT_EQ(joined, Bytes(whole.begin() + (v4 ? 20 : 40), whole.end()));
    }
  }
}

TEST(Build, EchoReply) {
  for (Bytes bytes : {icmp(kLan4, kFar4, 8, 0), icmp(kLan6, kFar6, 128, 0)}) {
    Packet packet;
    ASSERT_EQ(translator().outer(bytes, packet), Verdict::echo);
    const Bytes payload(packet.transport().begin() + 4, packet.transport().end());
    make_echo_reply(packet, Coverage::complete);
    EXPECT_EQ(complaint(bytes), "");
    EXPECT_EQ(packet.transport()[0], packet.family() == Family::v4 ? std::byte{0} : std::byte{129});
    EXPECT_EQ(packet.destination(), packet.family() == Family::v4 ? kLan4 : kLan6);
    EXPECT_EQ(Bytes(packet.transport().begin() + 4, packet.transport().end()), payload);
  }
}

Packet parsed(Bytes& bytes) {
  Packet packet;
  EXPECT_EQ(Packet::parse(bytes, packet), Malformed::none);
  return packet;
}

TEST(Build, IcmpErrors) {
  struct Row {
    Refusal refusal;
    unsigned code4;
    unsigned code6;
  };
  for (const Row& row : {Row{Refusal::port, 3, 4},
                         {Refusal::host, 1, 3},
                         {Refusal::network, 0, 0},
                         {Refusal::administrator, 13, 1}}) {
    for (const std::size_t payload : {std::size_t{0}, std::size_t{100}, std::size_t{4000}}) {
      for (Bytes bytes :
           {udp({kLan4, 1}, {kFar4, 2}, payload), udp({kLan6, 1}, {kFar6, 2}, payload)}) {
        Packet packet = parsed(bytes);
        Bytes out(kMaxIcmpError);
        const auto error = icmp_error(packet, row.refusal, out);
        ASSERT_TRUE(error);
        EXPECT_EQ(complaint(*error), "");
        const bool v4 = packet.family() == Family::v4;
        EXPECT_LE(error->size(), v4 ? 576U : 1280U);
        Bytes copy(error->begin(), error->end());
        Packet view = parsed(copy);
        EXPECT_EQ(view.source(), packet.destination());
        EXPECT_EQ(view.destination(), packet.source());
        EXPECT_EQ(view.transport()[0], v4 ? std::byte{3} : std::byte{1});
        EXPECT_EQ(std::to_integer<unsigned>(view.transport()[1]), v4 ? row.code4 : row.code6);
        const auto quoted = view.transport().subspan(8);
        EXPECT_TRUE(std::ranges::equal(quoted, packet.bytes().first(quoted.size())));
      }
    }
  }
}

TEST(Build, NoErrorAboutWhatMustNotBeAnswered) {
  Bytes out(kMaxIcmpError);
  for (Bytes bytes :
       {icmp(kLan4, kFar4, 3, 1), icmp(kLan6, kFar6, 1, 0), icmp(kLan4, kFar4, 11, 0),
        wrap(kLan4, kFar4, 17, Bytes(8), 5, 0x2001), udp({kLan4, 1}, {ip("224.0.0.1"), 2}, 0),
        udp({ip("0.0.0.0"), 1}, {kFar4, 2}, 0), wrap(kLan4, kFar4, 1, {})}) {
    EXPECT_FALSE(icmp_error(parsed(bytes), Refusal::port, out));
  }
}

TEST(Build, TcpReset) {
  struct Row {
    const char* name;
    unsigned flags;
    std::size_t payload;
    unsigned want_flags;
    unsigned sequence;
    unsigned acknowledgement;
  };
  // The oracle's segments have sequence 0x100 and acknowledgement 0x200.
  for (const Row& row : {Row{"syn", 2, 0, 0x14, 0, 0x101},
                         {"syn with data", 2, 9, 0x14, 0, 0x10a},
                         {"ack", 0x10, 0, 4, 0x200, 0},
                         {"data", 0x18, 50, 4, 0x200, 0},
                         {"fin without ack", 1, 3, 0x14, 0, 0x104}}) {
    for (Bytes bytes : {tcp({kLan4, 4000}, {kFar4, 80}, row.flags, row.payload),
                        tcp({kLan6, 4000}, {kFar6, 80}, row.flags, row.payload)}) {
      SCOPED_TRACE(row.name);
      Bytes out(kMaxTcpReset);
      const auto reset = tcp_reset(parsed(bytes), out);
      ASSERT_TRUE(reset);
      EXPECT_EQ(complaint(*reset), "");
      Bytes copy(reset->begin(), reset->end());
      const auto body = parsed(copy).transport();
      EXPECT_EQ(get16(body, 0), 80U);
      EXPECT_EQ(get16(body, 2), 4000U);
      EXPECT_EQ(get16(body, 6), row.sequence);
      EXPECT_EQ(get16(body, 10), row.acknowledgement);
      EXPECT_EQ(std::to_integer<unsigned>(body[13]), row.want_flags);
    }
  }
  Bytes out(kMaxTcpReset);
  Bytes reset = tcp({kLan4, 4000}, {kFar4, 80}, TcpHeader::kRst);
  EXPECT_FALSE(tcp_reset(parsed(reset), out));
  Bytes shorter = wrap(kLan4, kFar4, 6, Bytes(19));
  EXPECT_FALSE(tcp_reset(parsed(shorter), out));
  Bytes liar = tcp({kLan4, 4000}, {kFar4, 80}, TcpHeader::kSyn);
  liar[32] = std::byte{0xf0};  // a header of 60 bytes in a segment of 20
  EXPECT_FALSE(tcp_reset(parsed(liar), out));
}

TEST(Wire, ByteOrderIsInTheType) {
  be16 big = 0x1234;
  host16 host = 0x1234;
  EXPECT_EQ(*reinterpret_cast<const std::uint8_t*>(&big), 0x12);
  EXPECT_EQ(std::uint16_t{big}, std::uint16_t{host});
  VnetHeader header;
  header.gso_size = 1448;
  std::uint16_t raw = 0;
  std::memcpy(&raw, reinterpret_cast<const char*>(&header) + 4, 2);
  EXPECT_EQ(raw, 1448);
}

// ---- openings
// ------------------------------------------------------------------------------------

TEST(Opening, OnlyOfASynThatAnswersNothing) {
  for (const auto& [from, to] : {std::pair{kLan4, kFar4}, {kLan6, kFar6}}) {
    for (unsigned flags = 0; flags < 64; ++flags) {
      Bytes bytes = tcp({from, 40000}, {to, 443}, flags);
      const auto opening = opening_of(parsed(bytes));
      // PSH and URG mean nothing here.
      ASSERT_EQ(opening.has_value(), (flags & 0x17) == 0x02) << flags;
      if (!opening) continue;
      EXPECT_EQ(opening->source, (Endpoint{from, 40000}));
      EXPECT_EQ(opening->destination, (Endpoint{to, 443}));
      EXPECT_EQ(opening->sequence, 0x100U);  // the oracle's
    }
  }
}

TEST(Opening, NotOfWhatNoConnectionHas) {
  const auto opens = [](Bytes bytes) { return opening_of(parsed(bytes)).has_value(); };
  const Bytes good = tcp({kLan4, 40000}, {kFar4, 443}, TcpHeader::kSyn);
  ASSERT_TRUE(opens(good));
  EXPECT_FALSE(opens(tcp({kLan4, 0}, {kFar4, 443}, TcpHeader::kSyn)));
  EXPECT_FALSE(opens(tcp({kLan4, 40000}, {kFar4, 0}, TcpHeader::kSyn)));
  EXPECT_FALSE(opens(tcp({kLan4, 40000}, {ip("224.0.0.1"), 443}, TcpHeader::kSyn)));
  EXPECT_FALSE(opens(tcp({kLan6, 40000}, {ip("ff02::1"), 443}, TcpHeader::kSyn)));
  EXPECT_FALSE(opens(udp({kLan4, 40000}, {kFar4, 443}, 100)));
  Bytes fragment = good;
  set16(fragment, 6, 0x2000);
  EXPECT_FALSE(opens(fragment));
  Bytes lies = good;
  lies[32] = std::byte{0xf0};  // a header longer than the packet
  EXPECT_FALSE(opens(lies));
  lies[32] = std::byte{0x40};  // shorter than any
  EXPECT_FALSE(opens(lies));
}

}  // namespace
}  // namespace hairpin::nat
