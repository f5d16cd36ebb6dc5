// Golden decisions: each file of tests/golden/decisions has a configuration and flows, and beside
// it lies what `hairpin match` says of them: which rule, which outbound, and why. With
// HAIRPIN_WRITE_GOLDEN the texts are written: read the difference before you commit it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/parse.h"
#include "config/rule_set.h"
#include "route/router.h"

namespace hairpin::route {
namespace {

using Json = nlohmann::json;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// "203.0.113.1:443", "a.example:443" or {"to": …, "source": …, "domain": …}.
Flow flow_of(const config::Config& config, const Json& json, bool& has_address) {
  const auto member = [&json](const char* name, const char* otherwise) {
    return json.is_object() ? json.value(name, otherwise) : std::string(otherwise);
  };
  const std::string to = json.is_object() ? json["to"] : json;
  Flow flow;
  flow.network = member("network", "tcp") == "udp" ? Network::udp : Network::tcp;
  flow.client = *Endpoint::parse(member("source", "192.0.2.2:40000"));
  flow.protocol = member("protocol", "");
  flow.inbound = member("inbound", "one") == config.inbounds[0].tag ? 0 : 1;
  const auto endpoint = Endpoint::parse(to);
  has_address = endpoint.has_value();
  flow.domain = member("domain", "");
  if (endpoint) {
    flow.destination = *endpoint;
  } else {
    const std::size_t colon = to.find(':');
    flow.domain = normal_name(to.substr(0, colon));
    flow.destination.port = static_cast<std::uint16_t>(std::stoi(to.substr(colon + 1)));
  }
  return flow;
}

std::string decide(const config::Config& config, const Router& router, const Json& json) {
  bool has_address = false;
  const Flow flow = flow_of(config, json, has_address);
  rule::Facts facts = facts_of(flow, config.inbounds[flow.inbound].tag);
  facts.has_address = has_address;
  std::string text = json.dump() + "\n";
  const auto steps = explain(config, facts);
  for (const Step& step : steps) {
    text += "    rules[" + std::to_string(step.rule) + "] " + (step.reason.holds ? "yes" : "no") +
            ": " + step.reason.text + "\n";
  }
  const Decision decision = route::decide(config, router, facts);
  // The compiled rules and the explanation are two ways to the same rule.
  const bool held = !steps.empty() && steps.back().reason.holds;
  EXPECT_EQ(decision.rule.has_value(), held) << text;
  if (decision.rule && held) {
    EXPECT_EQ(*decision.rule, steps.back().rule) << text;
  }
  text += "  " + describe(config, decision) + "\n";
  return text;
}

TEST(Decisions, AreAsWritten) {
  int rows = 0;
  for (const auto& entry : std::filesystem::directory_iterator(HAIRPIN_GOLDEN "/decisions")) {
    if (entry.path().extension() != ".json") continue;
    config::Problems problems;
    const Json json = config::parse_json(read(entry.path()), problems);
    auto config = config::parse_value(json["config"], problems);
    for (const auto& problem : problems) {
      ADD_FAILURE() << entry.path() << ": " << problem.where << ": " << problem.message;
    }
    if (!config) continue;
    const Router router(*config);
    std::string text;
    for (const Json& flow : json["flows"]) {
      text += decide(*config, router, flow);
      ++rows;
    }
    auto golden = entry.path();
    golden.replace_extension(".txt");
    if (std::getenv("HAIRPIN_WRITE_GOLDEN") != nullptr) std::ofstream(golden) << text;
    EXPECT_EQ(text, read(golden)) << entry.path();
  }
  EXPECT_GE(rows, 150);
}

}  // namespace
}  // namespace hairpin::route
