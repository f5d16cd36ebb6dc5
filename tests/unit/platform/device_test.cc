// What a device does with packets, on a socket pair instead of a device: the other end sees what
// the system would see. (netns/test_device.py has the system.)
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>
#include <variant>

#include "base/fd.h"
#include "platform/device/device.h"
#include "platform/device/framing.h"
#include "platform/device/interrupt.h"
#include "support/packets.h"

namespace hairpin::device {
namespace {

using namespace hairpin::test;  // NOLINT(google-build-using-namespace)
using std::chrono::milliseconds;

const Endpoint kFrom4{ip("192.0.2.1"), 4000};
const Endpoint kTo4{ip("203.0.113.9"), 53};
const Endpoint kFrom6{ip("2001:db8::1"), 4000};
const Endpoint kTo6{ip("2001:db8::9"), 53};

Bytes bytes(std::initializer_list<unsigned> values) {
  Bytes out;
  put(out, values);
  return out;
}

Bytes joined(const Bytes& one, const Bytes& other) {
  Bytes out = one;
  out.insert(out.end(), other.begin(), other.end());
  return out;
}

struct Pair {
  Device device;
  Fd other;  ///< What stands for the system.

  void give(const Bytes& packet) {
    ASSERT_EQ(::write(other.get(), packet.data(), packet.size()),
              static_cast<ssize_t>(packet.size()));
  }
  Bytes take() {
    Bytes packet(70000);
    const ssize_t got = ::recv(other.get(), packet.data(), packet.size(), MSG_DONTWAIT);
    packet.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return packet;
  }
};

Pair make_pair(Framing framing = Framing::bare, Layer layer = Layer::ip) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
  auto device = Device::adopt(ends[0], {.framing = framing, .layer = layer});
  return {std::move(device.value()), Fd(ends[1])};
}

/// One packet, or the error's code.
std::variant<Bytes, int> read_from(Device& device, std::size_t room = 2000,
                                   const Wait& wait = kDoNotWait) {
  Bytes packet(room);
  const auto got = device.read(packet, wait);
  if (!got) return got.error().code;
  packet.resize(*got);
  return packet;
}

// ---- what stands before packets
// ------------------------------------------------------------------

struct FramingCase {
  Framing framing;
  Bytes before4, before6;
};
const FramingCase kFramings[] = {
    {Framing::bare, {}, {}},
    {Framing::information, bytes({0, 0, 0x08, 0x00}), bytes({0, 0, 0x86, 0xdd})},
    {Framing::utun, bytes({0, 0, 0, 2}), bytes({0, 0, 0, 30})},
};

TEST(Framing, IsTakenAwayAndAddedAlike) {
  const Bytes four = udp(kFrom4, kTo4, 50);
  const Bytes six = udp(kFrom6, kTo6, 50);
  for (const FramingCase& test : kFramings) {
    Pair pair = make_pair(test.framing);
    for (const auto& [packet, before] : {std::pair{four, test.before4}, {six, test.before6}}) {
      pair.give(joined(before, packet));
      EXPECT_EQ(read_from(pair.device), (std::variant<Bytes, int>{packet}));
      ASSERT_TRUE(pair.device.write(packet));
      EXPECT_EQ(pair.take(), joined(before, packet));
    }
  }
}

TEST(Framing, WhoWantsInformationGetsLinuxsEverywhere) {
  const Bytes four = udp(kFrom4, kTo4, 50);
  const Bytes six = udp(kFrom6, kTo6, 50);
  const Bytes shown4 = bytes({0, 0, 0x08, 0x00});
  const Bytes shown6 = bytes({0, 0, 0x86, 0xdd});
  for (const FramingCase& test : kFramings) {
    Pair pair = make_pair(test.framing);
    ASSERT_TRUE(pair.device.set_packet_information(true));
    for (const auto& [packet, before, shown] :
         {std::tuple{four, test.before4, shown4}, {six, test.before6, shown6}}) {
      pair.give(joined(before, packet));
      EXPECT_EQ(read_from(pair.device), (std::variant<Bytes, int>{joined(shown, packet)}));
      ASSERT_TRUE(pair.device.write(joined(shown, packet)));
      EXPECT_EQ(pair.take(), joined(before, packet));
    }
    ASSERT_TRUE(pair.device.set_packet_information(false));
    pair.give(joined(test.before4, four));
    EXPECT_EQ(read_from(pair.device), (std::variant<Bytes, int>{four}));
  }
}

TEST(Framing, OfEthernetSaysWhatTheFrameSays) {
  Bytes frame(60);
  set16(frame, 12, 0x0806);
  Pair pair = make_pair(Framing::bare, Layer::ethernet);
  ASSERT_TRUE(pair.device.set_packet_information(true));
  pair.give(frame);
  EXPECT_EQ(read_from(pair.device),
            (std::variant<Bytes, int>{joined(bytes({0, 0, 0x08, 0x06}), frame)}));
}

TEST(Framing, OfWhatIsNoPacket) {
  EXPECT_EQ(ether_type_of({}, Layer::ip), 0);
  EXPECT_EQ(ether_type_of(bytes({0x55}), Layer::ip), 0);
  EXPECT_EQ(ether_type_of(Bytes(13), Layer::ethernet), 0);
  EXPECT_EQ(ether_type_in(Framing::utun, {}), 0);
  EXPECT_EQ(ether_type_in(Framing::utun, {std::byte{1}, {}, {}, std::byte{2}}), 0);
  EXPECT_EQ(ether_type_in(Framing::bare, {std::byte{1}, {}, {}, std::byte{2}}), 0);
}

TEST(Framing, InformationNeedsRoom) {
  Pair pair = make_pair();
  ASSERT_TRUE(pair.device.set_packet_information(true));
  EXPECT_EQ(read_from(pair.device, 17), (std::variant<Bytes, int>{EINVAL}));
  EXPECT_EQ(pair.device.write(bytes({0, 0, 8})).error().code, EINVAL);
}

// ---- reading and writing
// -------------------------------------------------------------------------

TEST(Device, PartsAreFilledInTheirOrder) {
  Pair pair = make_pair(Framing::utun);
  const Bytes packet = udp(kFrom4, kTo4, 100);
  pair.give(joined(bytes({0, 0, 0, 2}), packet));
  Bytes ip(20);
  Bytes transport(8);
  Bytes payload(200);
  const std::array<std::span<std::byte>, 3> parts{ip, transport, payload};
  nat::VnetHeader header;
  EXPECT_EQ(pair.device.read(parts, header, kDoNotWait).value(), packet.size());
  payload.resize(100);
  EXPECT_EQ(joined(joined(ip, transport), payload), packet);
  const std::array<std::span<const std::byte>, 3> same{ip, transport, payload};
  ASSERT_TRUE(pair.device.write(same, {}));
  EXPECT_EQ(pair.take(), joined(bytes({0, 0, 0, 2}), packet));
}

TEST(Device, TooManyPartsAreRefused) {
  Pair pair = make_pair();
  std::vector<std::span<std::byte>> into(257);
  std::vector<std::span<const std::byte>> from(257);
  nat::VnetHeader header;
  EXPECT_EQ(pair.device.read(into, header, kDoNotWait).error().code, EINVAL);
  EXPECT_EQ(pair.device.write(from, {}).error().code, EINVAL);
}

TEST(Device, APacketLongerThanTheBufferIsSaidToBe) {
  Pair pair = make_pair();
  const Bytes packet = udp(kFrom4, kTo4, 100);
  pair.give(packet);
  pair.give(packet);
  EXPECT_EQ(read_from(pair.device, packet.size() - 1), (std::variant<Bytes, int>{EMSGSIZE}));
  EXPECT_EQ(read_from(pair.device, packet.size()), (std::variant<Bytes, int>{packet}));
}

TEST(Device, WithoutOffloadNothingIsLeftUndone) {
  Pair pair = make_pair();
  nat::VnetHeader header;
  header.flags = nat::VnetHeader::kNeedsChecksum;
  EXPECT_EQ(pair.device.write(udp(kFrom4, kTo4, 5), header).error().code, ENOTSUP);
  EXPECT_TRUE(pair.take().empty());
}

TEST(Device, Batches) {
  Pair pair = make_pair(Framing::information);
  std::vector<Bytes> packets;
  for (std::size_t i = 0; i < 10; ++i) packets.push_back(udp(kFrom4, kTo4, 10 * i));
  std::vector<std::span<const std::byte>> views(packets.begin(), packets.end());
  EXPECT_EQ(pair.device.write_batch(views).value(), 10U);
  const Bytes before = bytes({0, 0, 0x08, 0x00});
  for (const Bytes& packet : packets) EXPECT_EQ(pair.take(), joined(before, packet));

  for (const Bytes& packet : packets) pair.give(joined(before, packet));
  Batch batch(5, 100);  // the last two are longer
  std::vector<Bytes> seen;
  for (const std::size_t expected : {5U, 3U}) {
    ASSERT_EQ(pair.device.read_batch(batch, kDoNotWait).value(), expected);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      seen.emplace_back(batch[i].begin(), batch[i].end());
    }
  }
  EXPECT_EQ(seen, (std::vector<Bytes>{packets.begin(), packets.begin() + 8}));
  EXPECT_EQ(batch.oversized(), 2U);
  EXPECT_EQ(pair.device.read_batch(batch, kDoNotWait).error().code, EAGAIN);
  EXPECT_EQ(batch.size(), 0U);
}

// ---- waiting
// -------------------------------------------------------------------------------------

TEST(Device, WaitsNotAtAllForAWhileOrForAPacket) {
  Pair pair = make_pair();
  using Read = std::variant<Bytes, int>;
  EXPECT_EQ(read_from(pair.device), Read{EAGAIN});
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(read_from(pair.device, 2000, {.timeout = milliseconds{50}}), Read{ETIMEDOUT});
  EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds{50});
  const Bytes packet = udp(kFrom4, kTo4, 10);
  std::thread later([&] {
    std::this_thread::sleep_for(milliseconds{30});
    pair.give(packet);
  });
  EXPECT_EQ(read_from(pair.device, 2000, {}), Read{packet});
  later.join();
}

TEST(Device, ShutdownEndsThoseWhoWaitAndThoseToCome) {
  Pair pair = make_pair();
  std::vector<std::future<std::variant<Bytes, int>>> readers;
  for (int i = 0; i < 3; ++i) {
    readers.push_back(
        std::async(std::launch::async, [&] { return read_from(pair.device, 2000, {}); }));
  }
  std::this_thread::sleep_for(milliseconds{30});
  pair.device.shutdown();
  for (auto& reader : readers) EXPECT_EQ(reader.get(), (std::variant<Bytes, int>{ESHUTDOWN}));
  pair.give(udp(kFrom4, kTo4, 10));
  EXPECT_EQ(read_from(pair.device), (std::variant<Bytes, int>{ESHUTDOWN}));
  EXPECT_EQ(pair.device.write(udp(kFrom4, kTo4, 10)).error().code, ESHUTDOWN);
  EXPECT_TRUE(pair.device.is_shut_down());
}

TEST(Device, AnInterruptEndsWaitsUntilItIsReset) {
  Pair pair = make_pair();
  using Read = std::variant<Bytes, int>;
  auto interrupt = Interrupt::create().value();
  const Wait wait{.interrupt = &interrupt};
  auto reader = std::async(std::launch::async, [&] { return read_from(pair.device, 2000, wait); });
  std::this_thread::sleep_for(milliseconds{30});
  interrupt.trigger();
  EXPECT_EQ(reader.get(), Read{EINTR});
  const Bytes packet = udp(kFrom4, kTo4, 10);
  pair.give(packet);
  EXPECT_EQ(read_from(pair.device, 2000, wait), Read{EINTR});  // even where there is one
  EXPECT_EQ(read_from(pair.device), Read{packet});             // others go on
  interrupt.reset();
  EXPECT_FALSE(interrupt.triggered());
  pair.give(packet);
  EXPECT_EQ(read_from(pair.device, 2000, wait), Read{packet});
}

TEST(Device, TheOtherEndMayClose) {
  Pair pair = make_pair();
  pair.other.reset();
  EXPECT_EQ(read_from(pair.device, 2000, {}), (std::variant<Bytes, int>{ESHUTDOWN}));
}

TEST(Device, ADescriptorIsTheCallersUntilItIsAdopted) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
  const Fd one(ends[0]);
  const Fd other(ends[1]);
  EXPECT_FALSE(Device::adopt(one.get()));  // the system knows no such device
  EXPECT_FALSE(Device::adopt(one.get(), {.name = "tun0", .framing = Framing::bare}));
  EXPECT_FALSE(Device::adopt(-1, {.framing = Framing::bare}));
  EXPECT_EQ(::write(one.get(), "x", 1), 1);
}

// ---- hardware addresses
// --------------------------------------------------------------------------

TEST(HardwareAddress, Text) {
  const HardwareAddress address{0x02, 0x00, 0x5e, 0x10, 0xab, 0xff};
  EXPECT_EQ(hardware_address_text(address), "02:00:5e:10:ab:ff");
  EXPECT_EQ(parse_hardware_address("02:00:5e:10:AB:ff"), address);
  for (const char* wrong : {"", "02:00:5e:10:ab", "02:00:5e:10:ab:fg", "02-00-5e-10-ab-ff",
                            "02:00:5e:10:ab:ff:", "2:0:5e:10:ab:ff:0"}) {
    EXPECT_EQ(parse_hardware_address(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace hairpin::device
