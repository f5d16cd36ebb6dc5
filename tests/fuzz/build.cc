// Any packet that parses may have to be answered. Holds: what we build has right lengths and
// checksums, goes back to the sender, and fragments add up to the whole.
#include <cstdint>

#include "fuzz/check.h"
#include "nat/build.h"
#include "support/packets.h"

using namespace hairpin;       // NOLINT(google-build-using-namespace)
using namespace hairpin::nat;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* start = reinterpret_cast<const std::byte*>(data);
  test::Bytes bytes(start, start + size);
  Packet packet;
  if (Packet::parse(bytes, packet) != Malformed::none) return 0;
  test::Bytes out(kMaxIcmpError);
  for (const Refusal refusal :
       {Refusal::port, Refusal::host, Refusal::network, Refusal::administrator}) {
    if (const auto error = icmp_error(packet, refusal, out)) {
      FUZZ_CHECK(test::complaint(*error).empty());
    }
  }
  if (const auto reset = tcp_reset(packet, out)) FUZZ_CHECK(test::complaint(*reset).empty());

  // The payload as that of a datagram of our own.
  const auto payload = packet.transport();
  const bool v6 = packet.family() == Family::v6;
  if (payload.size() > (v6 ? kMaxUdpPayload6 : kMaxUdpPayload4)) return 0;
  test::Bytes buffer(64);
  buffer.insert(buffer.end(), payload.begin(), payload.end());
  const auto datagram = prepend_udp(buffer, 64, payload.size(), {packet.destination(), 53},
                                    {packet.source(), 4000}, 7, Coverage::complete);
  FUZZ_CHECK(test::complaint(datagram).empty());
  Fragmenter fragments(datagram, 1280, 9);
  std::size_t total = 0;
  while (const std::size_t length = fragments.next(out)) {
    Packet fragment;
    FUZZ_CHECK(Packet::parse(std::span(out).first(length), fragment) == Malformed::none);
    total += fragment.transport().size();
  }
  FUZZ_CHECK(total == datagram.size() - (v6 ? 40 : 20));
  return 0;
}
