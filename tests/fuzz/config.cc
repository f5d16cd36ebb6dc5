// Any text as a configuration. Holds: it is valid or has problems, never both; blanking comments
// keeps every offset; and whatever is valid makes a router that decides.
#include <cstdint>
#include <string_view>

#include "config/parse.h"
#include "fuzz/check.h"
#include "route/router.h"
#include "support/packets.h"

using namespace hairpin;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  FUZZ_CHECK(config::without_comments(text).size() == size);
  config::Problems problems;
  const auto config = config::parse(text, problems);
  FUZZ_CHECK(config.has_value() == problems.empty());
  if (!config) return 0;
  const route::Router router(*config);
  for (const Network network : {Network::tcp, Network::udp}) {
    const Flow flow{network, test::at("192.0.2.1:1"), test::at("203.0.113.1:80"), 0};
    auto decision = router.decide(flow);
    while (!config::is_final(decision.action)) {
      FUZZ_CHECK(decision.rule.has_value());
      decision = router.decide(flow, *decision.rule + 1);
    }
    FUZZ_CHECK(decision.outbound < config->outbounds.size());
  }
  return 0;
}
