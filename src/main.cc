#include <algorithm>
#include <boost/version.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>

#include "app/commands.h"
#include "app/diagnose.h"
#include "base/log.h"
#include "cli/command_line.h"
#include "config/android.h"
#include "config/parse.h"
#include "config/parse_outbounds.h"
#include "config/reader.h"
#include "config/rule_set.h"
#include "flow/flow.h"
#include "sniff/sniff.h"

namespace {

using namespace hairpin;  // NOLINT(google-build-using-namespace): this is main()

Result<> read_all(const std::string& path, std::string& out) {
  std::ostringstream text;
  errno = 0;
  if (path == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(path);
    if (!file) return last_error("read " + path);
    text << file.rdbuf();
    if (text.fail() && errno != 0) return last_error("read " + path);
  }
  out = text.str();
  return {};
}

/// The checked configuration, or what is wrong on standard error.
std::optional<config::Config> load(const cli::Source& source) {
  config::Problems problems;
  std::optional<config::Config> config;
  std::string name = "command line";
  if (source.file.empty()) {
    config = config::parse_value(source.options, problems);
  } else {
    name = source.file == "-" ? "standard input" : source.file;
    std::string text;
    if (auto read = read_all(source.file, text); !read) {
      std::fprintf(stderr, "hairpin: %s\n", read.error().text().c_str());
      return std::nullopt;
    }
    config = config::parse(text, problems);
  }
  if (config) {
    config::load_packages(*config, problems);
    config::load_rule_sets(*config, problems);
    config::load_certificates(*config, problems);
    if (!problems.empty()) config.reset();
  }
  for (const config::Problem& problem : problems) {
    const std::string where = problem.where.empty() ? "" : problem.where + ": ";
    std::fprintf(stderr, "%s: %s%s\n", name.c_str(), where.c_str(), problem.message.c_str());
  }
  return config;
}

int start_log(const config::Log& settings) {
  if (settings.disabled) return app::kExitOk;
  auto started = log::start({settings.level, settings.output, settings.timestamp});
  if (started) return app::kExitOk;
  std::fprintf(stderr, "hairpin: %s\n", started.error().text().c_str());
  return app::kExitConfig;
}

/// What stands before the file's words, if it is right.
int check_words(const cli::Run& run) {
  if (run.log_level && !log::parse_level(*run.log_level)) {
    std::fprintf(stderr, "hairpin: --log-level: unknown level \"%s\"\n", run.log_level->c_str());
    return app::kExitUsage;
  }
  if (run.link && !config::parse_link_kind(*run.link)) {
    std::fprintf(stderr, "hairpin: --link: expected auto, veth or tun, got \"%s\"\n",
                 run.link->c_str());
    return app::kExitUsage;
  }
  if (run.stack && !config::parse_stack_kind(*run.stack)) {
    std::fprintf(stderr, "hairpin: --stack: expected system, userspace or mixed, got \"%s\"\n",
                 run.stack->c_str());
    return app::kExitUsage;
  }
  return app::kExitOk;
}

/// Requires: check_words.
std::optional<config::Config> read_config(const cli::Run& run) {
  auto config = load(run.source);
  if (!config) return std::nullopt;
  if (run.log_level) config->log.level = *log::parse_level(*run.log_level);
  for (config::TunInbound& inbound : config->inbounds) {
    if (run.link) inbound.link = *config::parse_link_kind(*run.link);
    if (run.stack) {
      inbound.stack = *config::parse_stack_kind(*run.stack);
      inbound.stack_was_gvisor = *run.stack == "gvisor";
    }
  }
  return config;
}

/// An address, a name, or either with a port; an IPv6 address with a port in brackets.
struct Place {
  std::string name;  ///< Empty: it is an address.
  Endpoint endpoint;
};
std::optional<Place> parse_place(const std::string& text) {
  if (const auto address = IpAddr::parse(text)) return Place{"", {*address, 0}};
  if (const auto endpoint = Endpoint::parse(text)) return Place{"", *endpoint};
  const std::size_t colon = text.find(':');
  const auto port = colon == std::string::npos ? std::optional<std::uint64_t>(0)
                                               : parse_number(text.substr(colon + 1), 65535);
  std::string name = normal_name(text.substr(0, colon));
  if (name.empty() || !port) return std::nullopt;
  return Place{std::move(name), {{}, static_cast<std::uint16_t>(*port)}};
}

int complain(const std::string& what) {
  std::fprintf(stderr, "hairpin: %s\n", what.c_str());
  return app::kExitUsage;
}

int answer(const cli::Match& match, const config::Config& config) {
  const auto to = parse_place(match.destination);
  if (!to) return complain("\"" + match.destination + "\" is neither an address nor a name");
  const auto from = match.client.empty() ? Place{} : parse_place(match.client);
  if (!from || !from->name.empty())
    return complain("--source: \"" + match.client + "\" is no address");
  const auto mac = config::parse_mac(match.mac);
  if (!match.mac.empty() && !mac) {
    return complain("--source-mac: \"" + match.mac +
                    "\" is no hardware address such as 02:00:5e:00:53:01");
  }
  const auto inbound = std::ranges::find(config.inbounds, match.inbound, &config::TunInbound::tag);
  if (!match.inbound.empty() && inbound == config.inbounds.end()) {
    return complain("--inbound: no inbound has the tag \"" + match.inbound + "\"");
  }
  if (!match.protocol.empty() && !sniff::parse_protocol(match.protocol)) {
    return complain("--protocol: unknown protocol \"" + match.protocol + "\"");
  }
  const std::string domain = match.domain.empty() ? to->name : normal_name(match.domain);
  rule::Facts facts;
  facts.network = match.network == "udp" ? rule::Network::udp : rule::Network::tcp;
  facts.source = from->endpoint;
  facts.source_mac = mac;
  facts.destination = to->endpoint;
  facts.has_address = to->name.empty();
  facts.inbound = match.inbound.empty() ? config.inbounds.front().tag : match.inbound;
  facts.domain = domain;
  facts.protocol = match.protocol;
  rule::Process process{match.process, rule::kNoUser, match.user};
  if (const auto number = parse_number(match.user, rule::kNoUser - 1)) {
    process = {match.process, static_cast<std::uint32_t>(*number), ""};
  }
  if (!match.process.empty() || !match.user.empty()) facts.process = &process;
  return app::match(config, facts);
}

int not_found(const Error& error) {
  std::fprintf(stderr, "hairpin: %s\n", error.text().c_str());
  return app::kExitFailure;
}

struct Perform {
  int operator()(const cli::Run& run) const {
    if (const int status = check_words(run); status != app::kExitOk) return status;
    const auto config = read_config(run);
    if (!config) return app::kExitConfig;
    if (const int status = start_log(config->log); status != app::kExitOk) return status;
    if (run.netns.empty()) {
      if (const int status = app::refuse(*config); status != app::kExitOk) return status;
    }
    app::RunOptions options{{}, run.netns};
    if (!run.source.file.empty() && run.source.file != "-") {
      options.reload = [&run] { return read_config(run); };
    }
    return app::run(*config, options);
  }
  int operator()(const cli::Check& check) const {
    const auto config = load(check.source);
    if (!config) return app::kExitConfig;
    if (const int status = app::refuse(*config); status != app::kExitOk) return status;
    std::printf("%s: valid\n", check.source.file.c_str());
    return app::kExitOk;
  }
  int operator()(const cli::Plan& plan) const {
    const auto config = load(plan.source);
    if (!config) return app::kExitConfig;
    if (const int status = app::refuse(*config); status != app::kExitOk) return status;
    return app::plan(*config);
  }
  int operator()(const cli::Match& match) const {
    const auto config = load(match.source);
    return config ? answer(match, *config) : app::kExitConfig;
  }
  int operator()(const cli::RuleSet& set) const {
    switch (set.what) {
      case cli::RuleSet::What::compile:
        return app::compile_rule_set(set.file, set.output);
      case cli::RuleSet::What::decompile:
        return app::decompile_rule_set(set.file, set.output);
      case cli::RuleSet::What::match:
        return app::match_rule_set(set.file, set.asked);
    }
    return app::kExitUsage;
  }
  int operator()(const cli::Bypass& bypass) const {
    const auto mark = config::parse_mark(bypass.mark);
    if (mark) return app::bypass(*mark, bypass.command);
    std::fprintf(stderr, "hairpin: --mark: \"%s\" is no mark\n", bypass.mark.c_str());
    return app::kExitUsage;
  }
  int operator()(const cli::Reload& reload) const {
    const auto instance = app::find_instance(reload.pid.value_or(0));
    if (!instance) return not_found(instance.error());
    const std::string& file = instance->config;
    if (file.empty() || file == "-") {
      std::fprintf(stderr, "hairpin: process %d reads no configuration file\n", instance->process);
      return app::kExitFailure;
    }
    if (!load({file, {}})) return app::kExitConfig;
    return app::reload(*instance);
  }
  int operator()(const cli::Select& select) const {
    const auto instance = app::find_instance(select.pid.value_or(0));
    if (!instance) return not_found(instance.error());
    return app::select(*instance, select.group, select.outbound);
  }
  int operator()(const cli::Groups& groups) const {
    const auto instance = app::find_instance(groups.pid.value_or(0));
    if (!instance) return not_found(instance.error());
    return app::show_groups(*instance, groups.json);
  }
  int operator()(const cli::Cleanup&) const { return app::cleanup(); }
  int operator()(const cli::Doctor& doctor) const {
    const auto config = load(doctor.source);
    return config ? app::doctor(*config, doctor.json) : app::kExitConfig;
  }
  int operator()(const cli::Exec& exec) const {
    auto options = exec.options;
    if (!options.contains("log")) options["log"]["level"] = "error";  // the command has the stage
    const auto config = load({"", options});
    if (!config) return app::kExitConfig;
    if (const int status = start_log(config->log); status != app::kExitOk) return status;
    return app::exec(*config, {exec.command, exec.dns});
  }
  int operator()(const cli::Version&) const {
    std::printf("hairpin %s\nBoost %d.%d.%d, %s\n", HAIRPIN_VERSION, BOOST_VERSION / 100000,
                BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100, HAIRPIN_BUILD);
    return app::kExitOk;
  }
  int operator()(const cli::Help& help) const {
    std::fputs(help.text.c_str(), stdout);
    return app::kExitOk;
  }
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto command = cli::parse(argc, argv);
    if (!command) {
      std::fprintf(stderr, "hairpin: %s\n", command.error().text().c_str());
      return app::kExitUsage;
    }
    return std::visit(Perform{}, *command);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "hairpin: %s\n", failure.what());
    return app::kExitFailure;
  }
}
