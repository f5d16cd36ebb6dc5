// A proxy that sends anything. Holds: no message is longer than what was received, and waiting for
// more ends: with kMaxMessage bytes every parser has made up its mind.
#include <algorithm>
#include <array>
#include <cstdint>

#include "fuzz/check.h"
#include "wire/socks5.h"

using namespace hairpin;  // NOLINT(google-build-using-namespace)

namespace {

template <class Parse>
void check(Parse parse, std::span<const std::byte> received) {
  const auto parsed = parse(received);
  if (!parsed) return;
  if (parsed->has_value()) {
    FUZZ_CHECK((*parsed)->size <= received.size());
    FUZZ_CHECK((*parsed)->size > 0);
  } else {
    FUZZ_CHECK(received.size() < socks5::kMaxMessage);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span received(reinterpret_cast<const std::byte*>(data), size);
  check(socks5::parse_method, received);
  check(socks5::parse_password_reply, received);
  check(socks5::parse_reply, received);
  if (const auto header = socks5::parse_udp_header(received)) {
    FUZZ_CHECK(header->size <= received.size());
    // Writing what was read gives the same bytes (reserved ones aside).
    std::array<std::byte, socks5::kMaxUdpHeader> out;
    const std::size_t length = socks5::write_udp_header(header->value, out);
    if (header->value.name.empty()) {
      FUZZ_CHECK(length == header->size);
      FUZZ_CHECK(std::ranges::equal(std::span(out).subspan(3, length - 3),
                                    received.subspan(3, length - 3)));
    }
  }
  return 0;
}
