// A proxy that sends anything. Holds: a head is never longer than what was received, and kMaxHead
// bytes are enough to decide.
#include <cstdint>

#include "fuzz/check.h"
#include "wire/http_connect.h"

using namespace hairpin;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span received(reinterpret_cast<const std::byte*>(data), size);
  const auto parsed = http_connect::parse_response(received);
  if (!parsed) return 0;
  if (parsed->has_value()) {
    FUZZ_CHECK((*parsed)->size <= size);
  } else {
    FUZZ_CHECK(size < http_connect::kMaxHead);
  }
  return 0;
}
