// Cutting is compared with segments that are built one by one from the bytes of the whole, by the
// naive sums of support/packets.h; putting together with cutting. (netns/test_device.py compares
// both with the kernel.)
#include "nat/offload.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <tuple>

#include "support/packets.h"

namespace hairpin::nat {
namespace {

using namespace hairpin::test;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kTcpSize = 20;

/// Puts right what depends on the rest of a packet: lengths and checksums.
void mend(Bytes& packet, std::size_t link = 0) {
  Bytes ip(packet.begin() + static_cast<std::ptrdiff_t>(link), packet.end());
  const bool v4 = std::to_integer<unsigned>(ip[0]) >> 4 == 4;
  const std::size_t header = v4 ? 20 : 40;
  set16(ip, v4 ? 2 : 4, static_cast<unsigned>(v4 ? ip.size() : ip.size() - 40));
  if (v4) {
    set16(ip, 10, 0);
    set16(ip, 10, ~naive_sum(std::span(ip).first(20)) & 0xffff);
  }
  const unsigned protocol = std::to_integer<unsigned>(ip[v4 ? 9 : 6]);
  const std::size_t field = header + (protocol == 17 ? 6 : 16);
  if (protocol == 17) set16(ip, header + 4, static_cast<unsigned>(ip.size() - header));
  set16(ip, field, 0);
  const std::size_t size = v4 ? 4 : 16;
  const auto source = IpAddr::from_wire(std::span(ip).subspan(v4 ? 12 : 8, size));
  const auto destination = IpAddr::from_wire(std::span(ip).subspan(v4 ? 16 : 24, size));
  unsigned sum = ~naive_transport_sum(source, destination, protocol, std::span(ip).subspan(header));
  sum &= 0xffff;
  set16(ip, field, protocol == 17 && sum == 0 ? 0xffff : sum);
  std::ranges::copy(ip, packet.begin() + static_cast<std::ptrdiff_t>(link));
}

struct Whole {
  Bytes bytes;
  VnetHeader header;
  std::size_t headers = 0;  ///< Bytes before the payload.
  std::size_t link = 0;
};

Whole whole(bool v4, bool is_tcp, std::size_t payload, std::size_t size, unsigned flags,
            std::size_t link = 0) {
  const Endpoint from{ip(v4 ? "192.0.2.1" : "2001:db8::1"), 40000};
  const Endpoint to{ip(v4 ? "203.0.113.9" : "2001:db8::9"), 443};
  const Bytes packet = is_tcp ? tcp(from, to, flags, payload) : udp(from, to, payload);
  Whole made;
  made.link = link;
  made.bytes.assign(link, std::byte{0xee});
  made.bytes.insert(made.bytes.end(), packet.begin(), packet.end());
  made.headers = link + (v4 ? 20 : 40) + (is_tcp ? kTcpSize : 8);
  made.header.flags = VnetHeader::kNeedsChecksum;
  made.header.gso_type =
      is_tcp ? (v4 ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoTcp6) : VnetHeader::kGsoUdpL4;
  made.header.gso_size = static_cast<std::uint16_t>(size);
  made.header.header_length = static_cast<std::uint16_t>(made.headers);
  made.header.checksum_start = static_cast<std::uint16_t>(link + (v4 ? 20 : 40));
  made.header.checksum_offset = is_tcp ? 16 : 6;
  return made;
}

/// Segment `i`, made by hand.
Bytes expected(const Whole& from, std::size_t i) {
  const std::size_t size = from.header.gso_size;
  const std::size_t payload = from.bytes.size() - from.headers;
  const std::size_t begin = i * size;
  const std::size_t end = std::min(payload, begin + size);
  const auto at = [&](std::size_t n) {
    return from.bytes.begin() + static_cast<std::ptrdiff_t>(n);
  };
  Bytes segment(at(0), at(from.headers));
  segment.insert(segment.end(), at(from.headers + begin), at(from.headers + end));
  const std::size_t ip = from.link;
  const bool v4 = std::to_integer<unsigned>(segment[ip]) >> 4 == 4;
  if (v4) set16(segment, ip + 4, (get16(segment, ip + 4) + static_cast<unsigned>(i)) & 0xffff);
  if (from.header.gso_type != VnetHeader::kGsoUdpL4) {
    const std::size_t tcp = ip + (v4 ? 20 : 40);
    const unsigned low = get16(segment, tcp + 6) + static_cast<unsigned>(begin & 0xffff);
    const unsigned high =
        get16(segment, tcp + 4) + static_cast<unsigned>(begin >> 16) + (low >> 16);
    set16(segment, tcp + 6, low & 0xffff);
    set16(segment, tcp + 4, high & 0xffff);
    unsigned flags = std::to_integer<unsigned>(segment[tcp + 13]);
    if (end != payload) flags &= ~9U;  // FIN, PSH
    if (i != 0) flags &= ~0x80U;       // CWR
    segment[tcp + 13] = static_cast<std::byte>(flags);
  }
  mend(segment, ip);
  return segment;
}

std::vector<Bytes> segments_of(Whole from) {
  Segmenter segmenter;
  std::vector<Bytes> segments;
  if (!segmenter.begin(from.header, from.bytes, from.link)) return segments;
  Bytes out(segmenter.largest());
  const std::size_t left = segmenter.left();
  while (const std::size_t size = segmenter.next(out)) {
    segments.emplace_back(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(size));
  }
  EXPECT_EQ(segments.size(), left);
  return segments;
}

// ---- cutting
// -------------------------------------------------------------------------------------

TEST(Segmenter, CutsAsTheOracleBuilds) {
  for (const auto& [v4, is_tcp] :
       {std::pair{true, true}, {false, true}, {true, false}, {false, false}}) {
    for (const std::size_t size : {1U, 7U, 536U, 1448U, 1460U, 9000U}) {
      for (const std::size_t count : {1U, 2U, 3U, 40U}) {
        for (const std::size_t less : {0U, 1U, 6U}) {
          const std::size_t payload = size * count - std::min(less, size - 1);
          if (payload > 65000) continue;
          const Whole from = whole(v4, is_tcp, payload, size, 0x99);  // CWR, ACK, PSH, FIN
          const auto segments = segments_of(from);
          ASSERT_EQ(segments.size(), count);
          for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(segments[i], expected(from, i)) << size << " " << payload << " " << i;
            ASSERT_EQ(complaint(segments[i]), "");
          }
        }
      }
    }
  }
}

TEST(Segmenter, SequenceAndIdentificationWrap) {
  Whole from = whole(true, true, 3000, 1000, 0x10);
  set16(from.bytes, 4, 0xffff);
  set16(from.bytes, 24, 0xffff);
  set16(from.bytes, 26, 0xfff0);
  const auto segments = segments_of(from);
  ASSERT_EQ(segments.size(), 3U);
  EXPECT_EQ(get16(segments[1], 4), 0U);
  EXPECT_EQ(get16(segments[1], 24), 0U);
  EXPECT_EQ(segments[2], expected(from, 2));
}

TEST(Segmenter, CarriesEthernetHeadersAlong) {
  for (const std::size_t link : {14U, 18U, 22U}) {
    const Whole from = whole(false, true, 5000, 1400, 0x18, link);
    const auto segments = segments_of(from);
    ASSERT_EQ(segments.size(), 4U);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(segments[i], expected(from, i));
  }
}

TEST(Segmenter, OptionsAreRepeated) {
  Whole from = whole(true, true, 100, 40, 0x10);
  const Bytes options(12, std::byte{1});
  from.bytes.insert(from.bytes.begin() + 40, options.begin(), options.end());
  from.bytes[32] = std::byte{0x80};  // eight words
  from.headers += 12;
  mend(from.bytes);
  const auto segments = segments_of(from);
  ASSERT_EQ(segments.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(segments[i], expected(from, i));
}

TEST(Segmenter, CompletesAPendingChecksum) {
  for (const bool v4 : {true, false}) {
    const Endpoint from{ip(v4 ? "192.0.2.1" : "2001:db8::1"), 40000};
    const Endpoint to{ip(v4 ? "203.0.113.9" : "2001:db8::9"), 53};
    const Bytes complete = udp(from, to, 99);
    const std::size_t transport = v4 ? 20 : 40;
    Whole pending;
    pending.bytes = complete;
    const unsigned pseudo = naive_transport_sum(from.address, to.address, 17, {});
    set16(pending.bytes, transport + 6, naive_sum(Bytes{}, pseudo + 107));
    pending.header.flags = VnetHeader::kNeedsChecksum;
    pending.header.checksum_start = static_cast<std::uint16_t>(transport);
    pending.header.checksum_offset = 6;
    EXPECT_EQ(segments_of(pending), std::vector<Bytes>{complete});
  }
}

TEST(Segmenter, AChecksumOfZeroIsWrittenAsOnes) {
  Bytes packet(8, std::byte{0});
  packet[0] = packet[1] = std::byte{0xff};
  VnetHeader header;
  header.checksum_offset = 6;
  EXPECT_TRUE(complete_checksum(header, packet));
  EXPECT_EQ(get16(packet, 6), 0xffffU);
}

TEST(Segmenter, RefusesWhatContradictsItself) {
  const auto refused = [](auto&& change, bool v4 = true, bool is_tcp = true) {
    Whole from = whole(v4, is_tcp, 3000, 1000, 0x10);
    change(from);
    return segments_of(from).empty();
  };
  EXPECT_FALSE(refused([](Whole&) {}));
  EXPECT_TRUE(refused([](Whole& w) { w.header.gso_size = 0; }));
  EXPECT_TRUE(refused([](Whole& w) { w.header.gso_type = VnetHeader::kGsoTcp6; }));
  EXPECT_TRUE(refused([](Whole& w) { w.header.gso_type = VnetHeader::kGsoUdpL4; }));
  EXPECT_TRUE(refused([](Whole& w) { w.header.gso_type = VnetHeader::kGsoUdp; }, true, false));
  EXPECT_TRUE(refused([](Whole& w) { w.header.gso_type = 9; }));
  EXPECT_TRUE(refused([](Whole& w) { w.header.gso_type = VnetHeader::kGsoTcp4; }, false));
  EXPECT_TRUE(refused([](Whole& w) { w.bytes[32] = std::byte{0x40}; }));  // a TCP header of 16
  EXPECT_TRUE(refused([](Whole& w) { set16(w.bytes, 2, 39); }));          // ends within it
  EXPECT_TRUE(refused([](Whole& w) { set16(w.bytes, 6, 0x2000); }));      // a fragment
  EXPECT_TRUE(refused([](Whole& w) { set16(w.bytes, 2, 65000); }));
  EXPECT_TRUE(refused([](Whole& w) { w.link = 4000; }));
  EXPECT_TRUE(refused([](Whole& w) { w.bytes.clear(); }));
  const auto no_sum = [](unsigned start, unsigned offset) {
    return [=](Whole& w) {
      w.header.gso_type = VnetHeader::kGsoNone;
      w.header.checksum_start = static_cast<std::uint16_t>(start);
      w.header.checksum_offset = static_cast<std::uint16_t>(offset);
    };
  };
  EXPECT_FALSE(refused(no_sum(20, 3018)));
  EXPECT_TRUE(refused(no_sum(20, 3019)));
  EXPECT_TRUE(refused(no_sum(65535, 65535)));
}

TEST(Segmenter, CongestionBitInTheTypeIsNoContradiction) {
  Whole from = whole(true, true, 3000, 1000, 0x90);
  from.header.gso_type |= 0x80;
  EXPECT_EQ(segments_of(from).size(), 3U);
}

TEST(Ethernet, HeaderSizes) {
  Bytes frame(60);
  EXPECT_EQ(ethernet_header_size(frame), 14U);
  set16(frame, 12, 0x8100);
  EXPECT_EQ(ethernet_header_size(frame), 18U);
  set16(frame, 12, 0x88a8);
  set16(frame, 16, 0x8100);
  EXPECT_EQ(ethernet_header_size(frame), 22U);
  EXPECT_EQ(ethernet_header_size(std::span(frame).first(13)), 13U);
  EXPECT_EQ(ethernet_header_size(std::span(frame).first(17)), 17U);
}

// ---- putting together
// ----------------------------------------------------------------------------

/// One packet to write, in one piece.
Whole joined(Coalescer& coalescer, std::size_t i, std::size_t link = 0) {
  const Coalesced one = coalescer[i];
  Whole made;
  made.header = one.header;
  made.link = link;
  for (const auto part : one.parts) made.bytes.insert(made.bytes.end(), part.begin(), part.end());
  return made;
}

std::vector<Bytes> train(bool v4, bool is_tcp, std::size_t payload, std::size_t size,
                         unsigned flags = 0x18, std::size_t link = 0) {
  return segments_of(whole(v4, is_tcp, payload, size, flags, link));
}

std::vector<std::size_t> groups(const std::vector<Bytes>& packets, CoalescerOptions options = {}) {
  Coalescer coalescer(options);
  for (const Bytes& packet : packets) EXPECT_TRUE(coalescer.add(packet));
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < coalescer.size(); ++i) sizes.push_back(coalescer[i].packets);
  return sizes;
}

TEST(Coalescer, GivesBackTheWholeThatWasCut) {
  for (const auto& [v4, is_tcp] :
       {std::pair{true, true}, {false, true}, {true, false}, {false, false}}) {
    for (const std::size_t link : {0U, 14U}) {
      const Whole from = whole(v4, is_tcp, 20000, 1400, 0x18, link);
      const auto packets = segments_of(from);
      Coalescer coalescer({.link_size = link});
      for (const Bytes& packet : packets) ASSERT_TRUE(coalescer.add(packet));
      ASSERT_EQ(coalescer.size(), 1U);
      const Whole back = joined(coalescer, 0, link);
      EXPECT_EQ(back.header.flags, VnetHeader::kNeedsChecksum);
      EXPECT_EQ(back.header.gso_type, from.header.gso_type);
      EXPECT_EQ(back.header.gso_size, from.header.gso_size);
      EXPECT_EQ(back.header.header_length, from.header.header_length);
      EXPECT_EQ(back.header.checksum_start, from.header.checksum_start);
      EXPECT_EQ(back.header.checksum_offset, from.header.checksum_offset);
      Bytes mended = back.bytes;  // its checksum is pending
      mend(mended, link);
      EXPECT_EQ(mended, from.bytes);
      EXPECT_EQ(segments_of(back), packets);
    }
  }
}

TEST(Coalescer, ThePendingChecksumIsThatOfThePseudoHeader) {
  const auto packets = train(true, true, 3000, 1000);
  Coalescer coalescer;
  for (const Bytes& packet : packets) ASSERT_TRUE(coalescer.add(packet));
  Whole one = joined(coalescer, 0);
  Bytes length;
  put16(length, 3020);
  const unsigned pseudo = naive_transport_sum(ip("192.0.2.1"), ip("203.0.113.9"), 6, {});
  EXPECT_EQ(get16(one.bytes, 36), naive_sum(length, pseudo));
  EXPECT_TRUE(complete_checksum(one.header, one.bytes));
  EXPECT_EQ(complaint(one.bytes), "");
}

TEST(Coalescer, LeavesApartWhatCuttingWouldNotGiveBack) {
  struct Case {
    const char* what;
    bool v4, is_tcp;
    std::size_t offset;  ///< Of the 16-bit word of the second packet that is changed.
    unsigned flip;
  };
  const Case cases[] = {
      {"tos", true, true, 0, 0x0004},      {"id", true, true, 4, 1},
      {"DF", true, true, 6, 0x4000},       {"ttl", true, true, 8, 0x0100},
      {"source", true, true, 14, 1},       {"destination", true, true, 18, 1},
      {"source port", true, true, 20, 1},  {"destination port", true, true, 22, 1},
      {"sequence", true, true, 26, 1},     {"acknowledgement", true, true, 30, 1},
      {"SYN", true, true, 32, 2},          {"RST", true, true, 32, 4},
      {"URG", true, true, 32, 0x20},       {"CWR", true, true, 32, 0x80},
      {"ECE", true, true, 32, 0x40},       {"window", true, true, 34, 1},
      {"urgent", true, true, 38, 1},       {"class", false, true, 0, 0x0100},
      {"flow label", false, true, 2, 1},   {"hop limit", false, true, 6, 1},
      {"v6 source", false, true, 22, 1},   {"v6 destination", false, true, 38, 1},
      {"v6 sequence", false, true, 46, 1}, {"UDP port", true, false, 20, 1},
      {"UDP id", true, false, 4, 1},       {"v6 UDP port", false, false, 42, 0x10},
  };
  for (const Case& test : cases) {
    auto packets = train(test.v4, test.is_tcp, 3000, 1000, 0x10);
    ASSERT_EQ(groups(packets), std::vector<std::size_t>{3});
    set16(packets[1], test.offset, get16(packets[1], test.offset) ^ test.flip);
    mend(packets[1]);
    const auto sizes = groups(packets);
    EXPECT_GE(sizes.size(), 2U) << test.what;
    EXPECT_EQ(sizes[0] == 1 || sizes[1] == 1, true) << test.what;
  }
}

TEST(Coalescer, LeavesDamagedPacketsAsTheyAre) {
  for (const std::size_t offset : {10U, 36U, 60U}) {  // both checksums, payload
    auto packets = train(true, true, 3000, 1000);
    packets[1][offset] ^= std::byte{0x55};
    EXPECT_EQ(groups(packets), (std::vector<std::size_t>{1, 1, 1})) << offset;
  }
  auto packets = train(true, true, 3000, 1000);
  packets[1][60] ^= std::byte{0x55};
  EXPECT_EQ(groups(packets, {.verify = false}), (std::vector<std::size_t>{3}));
}

TEST(Coalescer, WhatEndsAGroup) {
  using Sizes = std::vector<std::size_t>;
  auto packets = train(true, true, 4000, 1000, 0x10);
  packets[1][33] |= std::byte{8};  // PSH
  mend(packets[1]);
  EXPECT_EQ(groups(packets), (Sizes{2, 2}));
  packets = train(true, true, 4000, 1000, 0x10);
  std::swap(packets[1], packets[2]);  // late: whoever comes after a gap begins anew
  EXPECT_EQ(groups(packets), (Sizes{1, 1, 1, 1}));
  packets = train(true, false, 3500, 1000);
  EXPECT_EQ(groups(packets), Sizes{4});
  packets.push_back(packets[0]);  // behind a shorter one
  EXPECT_EQ(groups(packets), (Sizes{4, 1}));
  EXPECT_EQ(groups({packets[3], packets[0]}), (Sizes{1, 1}));  // longer than the first
  EXPECT_EQ(groups(train(false, false, 100 * 10, 10)), (Sizes{64, 36}));
  EXPECT_EQ(groups(train(true, true, 65000, 1000), {.tcp = false}).size(), 65U);
  EXPECT_EQ(groups(train(true, false, 5000, 1000), {.udp = false}).size(), 5U);
}

TEST(Coalescer, NothingLargerThanAnIpPacketCanBe) {
  auto packets = train(true, true, 60000, 1000, 0x10);
  const auto more = train(true, true, 60000, 1000, 0x10);
  for (std::size_t i = 0; i < more.size(); ++i) {
    Bytes packet = more[i];
    set16(packet, 4, get16(packets[59], 4) + static_cast<unsigned>(i) + 1);
    const unsigned sequence = 0x100 + 60000 + static_cast<unsigned>(i) * 1000;
    set16(packet, 24, sequence >> 16);
    set16(packet, 26, sequence & 0xffff);
    mend(packet);
    packets.push_back(packet);
  }
  EXPECT_EQ(groups(packets), (std::vector<std::size_t>{65, 55}));
}

TEST(Coalescer, WhatItDoesNotKnowPassesUnchanged) {
  const Endpoint from{ip("192.0.2.1"), 1};
  const Endpoint to{ip("192.0.2.2"), 2};
  Bytes no_sum = udp(from, to, 100);
  set16(no_sum, 26, 0);
  Bytes with_tail = tcp(from, to, 0x10, 100);
  with_tail.resize(with_tail.size() + 6);
  const std::vector<Bytes> packets{
      {},
      Bytes(5, std::byte{0x45}),
      no_sum,
      no_sum,
      with_tail,
      tcp(from, to, 0x10, 0),
      tcp(from, to, 0x02, 100),
      icmp(from.address, to.address, 8, 0),
      wrap(from.address, to.address, 6, Bytes(30), 6),
      wrap(from.address, to.address, 17, Bytes(30), 5, 0x2000),
      wrap(from.address, to.address, 6, Bytes(10)),
  };
  Coalescer coalescer;
  for (const Bytes& packet : packets) ASSERT_TRUE(coalescer.add(packet));
  ASSERT_EQ(coalescer.size(), packets.size());
  for (std::size_t i = 0; i < packets.size(); ++i) {
    const Whole one = joined(coalescer, i);
    EXPECT_EQ(one.bytes, packets[i]);
    EXPECT_EQ(one.header.flags, 0);
    EXPECT_EQ(one.header.gso_type, VnetHeader::kGsoNone);
  }
}

TEST(Coalescer, IsFullAfterItsLastPacket) {
  const auto packets = train(true, true, 65000, 500, 0x10);
  ASSERT_GT(packets.size(), Coalescer::kMaxPackets);
  Coalescer coalescer;
  for (std::size_t i = 0; i < Coalescer::kMaxPackets; ++i) ASSERT_TRUE(coalescer.add(packets[i]));
  EXPECT_FALSE(coalescer.add(packets[Coalescer::kMaxPackets]));
  EXPECT_EQ(coalescer[0].packets, Coalescer::kMaxPackets);
  coalescer.clear();
  EXPECT_EQ(coalescer.size(), 0U);
  EXPECT_TRUE(coalescer.add(packets[0]));
  EXPECT_EQ(coalescer[0].packets, 1U);
}

/// Any mixture comes back, flow by flow, in its order.
TEST(Coalescer, CuttingGivesBackEveryMixture) {
  std::mt19937 random(11);
  const auto pick = [&random](auto... values) {
    const unsigned all[] = {values...};
    return all[random() % sizeof...(values)];
  };
  std::size_t merged = 0;
  for (int round = 0; round < 300; ++round) {
    // Trains of some flows, shuffled as cards are: each keeps its order, mostly.
    std::vector<std::vector<Bytes>> trains;
    for (unsigned flow = 0; flow < 6; ++flow) {
      Whole from = whole(flow % 2 == 0, flow % 3 != 0, 1 + random() % 9000, pick(100U, 536U, 1460U),
                         pick(0x10U, 0x18U, 0x11U));
      const std::size_t transport = flow % 2 == 0 ? 20 : 40;
      set16(from.bytes, transport, 1000 + flow);
      trains.push_back(segments_of(from));
      auto& train = trains.back();
      if (random() % 4 == 0)
        std::swap(train[random() % train.size()], train[random() % train.size()]);
      if (random() % 4 == 0) train[random() % train.size()].back() ^= std::byte{1};
      if (random() % 4 == 0) train.push_back(train[random() % train.size()]);
    }
    std::vector<Bytes> packets;
    while (packets.size() < Coalescer::kMaxPackets && !trains.empty()) {
      auto& train = trains[random() % trains.size()];
      const std::size_t run = std::min<std::size_t>(train.size(), 1 + random() % 8);
      for (std::size_t i = 0; i < run && packets.size() < Coalescer::kMaxPackets; ++i) {
        packets.push_back(train[i]);
      }
      train.erase(train.begin(), train.begin() + static_cast<std::ptrdiff_t>(run));
      std::erase_if(trains, [](const auto& left) { return left.empty(); });
    }
    Coalescer coalescer;
    for (const Bytes& packet : packets) ASSERT_TRUE(coalescer.add(packet));
    std::map<unsigned, std::vector<Bytes>> before;
    std::map<unsigned, std::vector<Bytes>> after;
    const auto flow_of = [](const Bytes& packet) {
      return get16(packet, std::to_integer<unsigned>(packet[0]) >> 4 == 4 ? 20 : 40);
    };
    for (const Bytes& packet : packets) before[flow_of(packet)].push_back(packet);
    for (std::size_t i = 0; i < coalescer.size(); ++i) {
      merged += coalescer[i].packets - 1;
      for (const Bytes& packet : segments_of(joined(coalescer, i))) {
        after[flow_of(packet)].push_back(packet);
      }
    }
    ASSERT_EQ(before, after) << round;
  }
  EXPECT_GT(merged, 1000U);  // or the test has compared nothing
}

}  // namespace
}  // namespace hairpin::nat
