// Packets of anybody, put together and cut again: what comes out is what went in, in the order of
// each flow. And a virtio header of anybody: nothing is read or written beyond the packet, and no
// byte of payload is lost.
#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "fuzz/check.h"
#include "nat/offload.h"
#include "support/packets.h"

using namespace hairpin;       // NOLINT(google-build-using-namespace)
using namespace hairpin::nat;  // NOLINT(google-build-using-namespace)

namespace {

/// A packet as it may look after it was put together and cut: what has two spellings is spelt in
/// one way.
test::Bytes plain(test::Bytes packet) {
  Packet parsed;
  if (Packet::parse(packet, parsed) != Malformed::none || parsed.is_fragment()) return packet;
  const auto transport = parsed.transport();
  const bool v4 = parsed.family() == Family::v4;
  if (v4 && (std::to_integer<unsigned>(packet[6]) & 0x40) != 0) {
    // The identification of a packet that may not be fragmented.
    test::set16(packet, 4, 0);
    test::set16(packet, 10, 0);
  }
  if (v4) test::set16(packet, 10, 0);  // of two zeros
  const std::size_t field = parsed.protocol() == kTcp ? 16 : 6;
  const bool sums = parsed.protocol() == kTcp || parsed.protocol() == kUdp;
  if (!sums || transport.size() < field + 2) return packet;
  const std::size_t offset = static_cast<std::size_t>(transport.data() - packet.data()) + field;
  if (test::get16(packet, offset) == 0xffff) test::set16(packet, offset, 0);
  return packet;
}

/// One of the flow's names: packets of one flow have the same.
test::Bytes flow_of(const test::Bytes& bytes) {
  test::Bytes copy = bytes;
  Packet parsed;
  if (Packet::parse(copy, parsed) != Malformed::none || parsed.is_fragment() ||
      parsed.transport().size() < 8) {
    return {};
  }
  const auto names = parsed.family() == Family::v4 ? std::span(copy).subspan(12, 8)
                                                   : std::span(copy).subspan(8, 32);
  test::Bytes flow(names.begin(), names.end());
  flow.push_back(static_cast<std::byte>(parsed.protocol()));
  const auto ports = parsed.transport().first(4);
  flow.insert(flow.end(), ports.begin(), ports.end());
  return flow;
}

void cut_anything(std::span<const std::byte> input) {
  if (input.size() < sizeof(VnetHeader) + 1) return;
  VnetHeader header = header_at<VnetHeader>(input);
  const std::size_t link = std::to_integer<std::size_t>(input[sizeof header]) % 32;
  const auto rest = input.subspan(sizeof header + 1);
  test::Bytes packet(rest.begin(), rest.end());
  Segmenter segmenter;
  if (!segmenter.begin(header, packet, link)) return;
  test::Bytes out(segmenter.largest());
  std::size_t total = 0;
  std::size_t segments = 0;
  const std::size_t left = segmenter.left();
  while (const std::size_t size = segmenter.next(out)) {
    FUZZ_CHECK(size <= out.size());
    total += size;
    ++segments;
  }
  FUZZ_CHECK(segments == left || packet.empty());
  FUZZ_CHECK(total >= packet.size() || (header.gso_type & 0x7f) != 0);
}

std::vector<test::Bytes> split_input(std::span<const std::byte> input) {
  std::vector<test::Bytes> packets;
  while (input.size() > 2 && packets.size() < Coalescer::kMaxPackets) {
    const std::size_t size = std::min<std::size_t>(test::get16(input, 0), input.size() - 2);
    packets.emplace_back(input.begin() + 2, input.begin() + 2 + static_cast<std::ptrdiff_t>(size));
    input = input.subspan(2 + size);
  }
  return packets;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input{reinterpret_cast<const std::byte*>(data), size};
  cut_anything(input);
  const auto packets = split_input(input);
  Coalescer coalescer;
  for (const auto& packet : packets) FUZZ_CHECK(coalescer.add(packet));
  std::map<test::Bytes, std::vector<test::Bytes>> before;
  std::map<test::Bytes, std::vector<test::Bytes>> after;
  for (const auto& packet : packets) before[flow_of(packet)].push_back(plain(packet));
  for (std::size_t i = 0; i < coalescer.size(); ++i) {
    const Coalesced one = coalescer[i];
    test::Bytes whole;
    for (const auto part : one.parts) whole.insert(whole.end(), part.begin(), part.end());
    Segmenter segmenter;
    FUZZ_CHECK(segmenter.begin(one.header, whole));
    FUZZ_CHECK(segmenter.left() == one.packets);
    test::Bytes out(segmenter.largest());
    for (std::size_t n = 0; n < one.packets; ++n) {
      const std::size_t bytes = segmenter.next(out);
      const test::Bytes segment(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(bytes));
      after[flow_of(segment)].push_back(plain(segment));
    }
  }
  FUZZ_CHECK(before == after);
  return 0;
}
