// Any text as --proxy. Holds: what is accepted is an outbound that the configuration accepts,
// unless a part of it is longer than a protocol allows.
#include <cstdint>
#include <string_view>

#include "config/parse.h"
#include "config/proxy_url.h"
#include "fuzz/check.h"

using namespace hairpin;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view url(reinterpret_cast<const char*>(data), size);
  const auto outbound = config::parse_proxy_url(url);
  if (!outbound || size > 255) return 0;
  nlohmann::json whole;
  whole["inbounds"] = {{"type", "tun"}, {"address", "172.18.0.1/30"}};
  whole["outbounds"] = *outbound;
  config::Problems problems;
  const bool valid = config::parse_value(whole, problems).has_value();
  for (const auto& problem : problems)
    std::fprintf(stderr, "%s: %s\n", problem.where.c_str(), problem.message.c_str());
  FUZZ_CHECK(valid);
  return 0;
}
