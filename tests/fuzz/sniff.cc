// Any bytes as what a client says first. Holds: what a sniffer has found it finds with more bytes,
// too (only a stream that is no protocol may become none later); a name is a name; and QUIC's
// frames, which no fuzzer gets at through the encryption, are read from packets that are sealed
// here.
#include "sniff/sniff.h"

#include <algorithm>
#include <cstdint>

#include "fuzz/check.h"
#include "sniff/quic.h"
#include "support/quic.h"

using namespace hairpin;  // NOLINT(google-build-using-namespace)

namespace {

void check(const sniff::Finding& finding) {
  if (finding.verdict != sniff::Verdict::yes) return;
  FUZZ_CHECK(finding.protocol != sniff::Protocol::count_);
  FUZZ_CHECK(finding.domain == sniff::host_name(finding.domain));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto all = sniff::Protocols::all();
  const sniff::Finding whole = sniff::sniff_stream(bytes, all);
  check(whole);
  for (std::size_t part = 0; part < std::min<std::size_t>(size, 64); ++part) {
    const sniff::Finding early = sniff::sniff_stream(bytes.first(part), all);
    check(early);
    // What is given up is given up for good.
    if (early.verdict == sniff::Verdict::no) FUZZ_CHECK(whole.verdict == sniff::Verdict::no);
  }
  check(sniff::sniff_datagram(bytes, all));
  sniff::Quic plain;
  check(plain.feed(bytes));
  if (size < 20 || size > 1100) return 0;
  sniff::Quic quic;
  check(quic.feed(std::as_bytes(std::span<const std::uint8_t>(
      test::sealed(test::kVersion1, 1, test::Bytes(data, data + size))))));
  return 0;
}
