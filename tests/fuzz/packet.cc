// Any bytes on either device. Holds: what is dropped is untouched; what is forwarded has kept its
// length, its checksums and everything behind the addresses; translating the answer of a forwarded
// packet gives back its two ends.
#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "fuzz/check.h"
#include "nat/build.h"
#include "nat/opening.h"
#include "nat/translate.h"
#include "support/packets.h"

namespace {

using namespace hairpin;       // NOLINT(google-build-using-namespace)
using namespace hairpin::nat;  // NOLINT(google-build-using-namespace)

const Translator& translator() {
  static const Translator kTranslator(
      std::array{test::ip("172.18.0.1"), test::ip("10.0.0.1"), test::ip("fdfe:dcba:9876::1")});
  return kTranslator;
}

void check_forwarded(const test::Bytes& before, test::Bytes& after, const Packet& packet) {
  FUZZ_CHECK(before.size() == after.size());
  const bool v4 = packet.family() == Family::v4;
  const std::size_t from = v4 ? 12 : 8;
  const std::size_t to = v4 ? 20 : 40;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (i < from || i >= to) FUZZ_CHECK(before[i] == after[i]);
  }
  // The sum over both addresses is what all checksums depend on.
  const auto old_sum = test::naive_sum(std::span(before).subspan(from, to - from));
  const auto new_sum = test::naive_sum(std::span(after).subspan(from, to - from));
  FUZZ_CHECK(old_sum % 0xffff == new_sum % 0xffff);

  // The listener's answer: the two addresses exchanged.
  const IpAddr source = packet.source();
  const IpAddr destination = packet.destination();
  std::ranges::swap_ranges(packet.source_bytes(), packet.destination_bytes());
  Packet answer;
  const Verdict verdict = translator().inner(after, answer);
  if (verdict != Verdict::forward) return;
  FUZZ_CHECK(answer.source() == source);
  FUZZ_CHECK(answer.destination() == translator().client_address(destination));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const test::Bytes before(bytes, bytes + size);
  test::Bytes out(kMaxIcmpError);
  Packet packet;

  test::Bytes after = before;
  switch (translator().outer(after, packet)) {
    case Verdict::forward:
      if (const auto opening = opening_of(packet)) {
        FUZZ_CHECK(may_open(packet));
        FUZZ_CHECK(opening->source.port != 0 && opening->destination.port != 0);
      }
      check_forwarded(before, after, packet);
      break;
    case Verdict::echo: {
      const IpAddr source = packet.source();
      make_echo_reply(packet, Coverage::complete);
      FUZZ_CHECK(packet.destination() == source);
      break;
    }
    case Verdict::unreachable:
      if (const auto error = icmp_error(packet, Refusal::administrator, out)) {
        FUZZ_CHECK(test::complaint(*error).empty());
      }
      [[fallthrough]];
    default:
      FUZZ_CHECK(after == before);
  }
  after = before;
  if (translator().inner(after, packet) != Verdict::forward) FUZZ_CHECK(after == before);
  return 0;
}
