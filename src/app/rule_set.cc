#include "config/rule_set.h"

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "app/commands.h"
#include "app/diagnose.h"
#include "flow/flow.h"
#include "rule/binary.h"
#include "rule/explain.h"

namespace hairpin::app {

namespace {

int fail_at_file(const Error& error) {
  std::fprintf(stderr, "hairpin: %s\n", error.text().c_str());
  return kExitFailure;
}

/// Empty after telling what is wrong.
std::optional<rule::RuleSet> read(const std::string& file) {
  std::string bytes;
  if (auto done = config::read_file(file, bytes); !done) {
    fail_at_file(done.error());
    return std::nullopt;
  }
  config::Problems problems;
  auto set = config::decode_rule_set(file, bytes, problems);
  for (const config::Problem& problem : problems) {
    std::fprintf(stderr, "%s: %s\n", problem.where.c_str(), problem.message.c_str());
  }
  if (!problems.empty()) return std::nullopt;
  return set;
}

int write(const std::string& output, const std::string& bytes) {
  if (output.empty() || output == "-") {
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
    return kExitOk;
  }
  errno = 0;
  std::ofstream file(output, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) return fail_at_file(last_error("write " + output));
  return kExitOk;
}

}  // namespace

int compile_rule_set(const std::string& file, const std::string& output) {
  const auto set = read(file);
  if (!set) return kExitConfig;
  const auto bytes = rule::write_binary(*set);
  return bytes ? write(output, *bytes) : fail_at_file(bytes.error());
}

int decompile_rule_set(const std::string& file, const std::string& output) {
  const auto set = read(file);
  return set ? write(output, config::source_of(*set)) : kExitConfig;
}

int match_rule_set(const std::string& file, const std::string& what) {
  const auto set = read(file);
  if (!set) return kExitConfig;
  rule::Facts facts;
  const auto address = IpAddr::parse(what);
  const std::string name = normal_name(what);
  facts.has_address = address.has_value();
  if (address) {
    facts.destination.address = *address;
  } else {
    facts.domain = name;
  }
  const auto found = rule::CompiledSet(*set).first_match(facts);
  if (!found) {
    std::printf("no rule\n");
    return kExitFailure;
  }
  const rule::Reason reason = rule::explain(set->rules[*found], facts, nullptr);
  std::printf("rules[%zu]: %s\n", *found, reason.text.c_str());
  return kExitOk;
}

}  // namespace hairpin::app
