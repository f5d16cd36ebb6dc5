// Any bytes as a rule-set, in either format. Holds: it is one or has problems, never both; one that
// was read is written and read again as the same; and a compiled one answers.
//
// What follows the header of a binary one is packed, which no fuzzer gets past: an input that
// begins with "srs" is packed here first.
#include <zlib.h>

#include <cstdint>
#include <string_view>

#include "config/rule_set.h"
#include "fuzz/check.h"
#include "rule/binary.h"

using namespace hairpin;  // NOLINT(google-build-using-namespace)

namespace {

std::string packed(std::string_view plain) {
  std::string bytes(compressBound(static_cast<uLong>(plain.size())), '\0');
  auto size = static_cast<uLongf>(bytes.size());
  compress2(reinterpret_cast<Bytef*>(bytes.data()), &size,
            reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()), 1);
  bytes.resize(size);
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with("srs")) bytes = std::string("SRS\x05") + packed(bytes.substr(3));
  config::Problems problems;
  const auto set = config::decode_rule_set("input", bytes, problems);
  if (!problems.empty()) return 0;
  const auto written = rule::write_binary(set);
  FUZZ_CHECK(written.has_value());
  auto again = rule::read_binary(*written);
  FUZZ_CHECK(again.has_value());
  // Names that are there twice, and ranges that overlap, are one.
  const auto once = rule::write_binary(*again);
  FUZZ_CHECK(once.has_value() && *once == *rule::write_binary(*rule::read_binary(*once)));
  rule::Facts facts;
  facts.domain = "www.example.com";
  (void)rule::CompiledSet(set).matches(facts);
  return 0;
}
