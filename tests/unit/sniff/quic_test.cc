// QUIC's Initial packets, written here with the keys that RFC 9001 (A.1) and RFC 9369 (A.1) print
// for the connection id 0x8394c8f03e515708: nothing of the reader's own derivation is used.
#include "sniff/quic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/quic.h"

namespace hairpin::sniff {
namespace {

using test::Bytes;
using test::crypto;
using test::hex;
using test::kHello;
using test::kVersion1;
using test::kVersion2;
using test::QuicKeys;
using test::sealed;
using test::text;

std::span<const std::byte> bytes(const Bytes& packet) {
  return std::as_bytes(std::span(packet));
}

TEST(Quic, TheWriterWritesWhatTheRfcPrints) {
  Bytes payload{6, 0, 0x40, 0xf1};
  payload.insert(payload.end(), kHello.begin(), kHello.end());
  payload.resize(1162);
  EXPECT_EQ(text(sealed(kVersion1, 2, payload)).substr(0, 64),
            "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11");
}

TEST(Quic, FindsTheNameInBothVersions) {
  for (const QuicKeys* keys : {&kVersion1, &kVersion2}) {
    Bytes payload = crypto(0, kHello.size());
    payload.resize(1162);
    const Bytes packet = sealed(*keys, 2, payload);
    EXPECT_TRUE(is_quic_initial(bytes(packet)));
    const Finding found = Quic().feed(bytes(packet));
    EXPECT_EQ(found.verdict, Verdict::yes);
    EXPECT_EQ(found.protocol, Protocol::quic);
    EXPECT_EQ(found.domain, "example.com");
  }
}

TEST(Quic, FramesComeInAnyOrderAndOverSeveralDatagrams) {
  std::mt19937 random(9);
  for (int round = 0; round < 100; ++round) {
    // Cuts of the hello, shuffled, some twice, with padding and pings between.
    std::vector<std::size_t> cuts{0, kHello.size()};
    for (std::size_t i = random() % 6; i > 0; --i) cuts.push_back(random() % kHello.size());
    std::ranges::sort(cuts);
    std::vector<Bytes> frames;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      frames.push_back(crypto(cuts[i], cuts[i + 1] - cuts[i]));
      if (random() % 4 == 0) frames.push_back(frames.back());
    }
    std::ranges::shuffle(frames, random);
    const std::size_t datagrams = 1 + random() % 3;
    Quic quic;
    Finding found;
    for (std::size_t d = 0; d < datagrams; ++d) {
      Bytes payload{1, 0, 0};
      for (std::size_t i = d; i < frames.size(); i += datagrams) {
        payload.insert(payload.end(), frames[i].begin(), frames[i].end());
        payload.push_back(0);
      }
      payload.resize(std::max<std::size_t>(payload.size(), 300));
      found = quic.feed(bytes(sealed(kVersion1, static_cast<std::uint32_t>(d), payload)));
      ASSERT_NE(found.verdict, Verdict::no) << round;
      if (found.verdict == Verdict::yes) break;
    }
    ASSERT_EQ(found.verdict, Verdict::yes) << round;
    ASSERT_EQ(found.domain, "example.com");
  }
}

TEST(Quic, TwoPacketsShareADatagram) {
  Bytes first = crypto(0, 40);
  first.resize(100);
  Bytes second = crypto(40, kHello.size() - 40);
  Bytes datagram = sealed(kVersion1, 0, first);
  const Bytes behind = sealed(kVersion1, 1, second);
  datagram.insert(datagram.end(), behind.begin(), behind.end());
  datagram.resize(datagram.size() + 50);  // padding outside of packets
  EXPECT_EQ(Quic().feed(bytes(datagram)).domain, "example.com");
}

TEST(Quic, WhatIsDamagedIsNone) {
  Bytes payload = crypto(0, kHello.size());
  payload.resize(600);
  const Bytes packet = sealed(kVersion1, 2, payload);
  for (std::size_t size = 0; size < packet.size(); ++size) {
    EXPECT_NE(Quic().feed(bytes(packet).first(size)).verdict, Verdict::yes) << size;
  }
  for (std::size_t at = 0; at < packet.size(); ++at) {
    Bytes damaged = packet;
    damaged[at] ^= 1;
    EXPECT_EQ(Quic().feed(bytes(damaged)).verdict, Verdict::no) << at;
  }
  // A frame that promises more than there is, a place far away, a frame that has no business here.
  for (const char* frames : {"0600ff", "06bfffffff0100", "0600bfffffff", "08", "1e"}) {
    Bytes bad = hex(frames);
    if (bad.size() < 3) bad.resize(200);
    if (bad[0] == 8 || bad[0] == 0x1e || bad[1] == 0xbf)
      bad.resize(200);  // nothing but padding behind
    while (bad.size() < 20) bad.push_back(0xff);
    EXPECT_EQ(Quic().feed(bytes(sealed(kVersion1, 2, bad))).verdict, Verdict::no) << frames;
  }
}

TEST(Quic, ItGivesUp) {
  Bytes payload = crypto(100, 20);
  payload.resize(200);
  Quic quic;
  Finding found{Verdict::more, Protocol::count_, ""};
  int datagrams = 0;
  for (; found.verdict == Verdict::more && datagrams < 100; ++datagrams) {
    found = quic.feed(bytes(sealed(kVersion1, 1, payload)));
  }
  EXPECT_EQ(found.verdict, Verdict::no);
  EXPECT_LT(datagrams, 20);
}

}  // namespace
}  // namespace hairpin::sniff
