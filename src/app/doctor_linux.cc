#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/diagnose.h"
#include "host/examination.h"
#include "host/plan.h"
#include "nft/apply.h"
#include "nft/plan.h"
#include "platform/netns.h"

namespace hairpin::app {

namespace {

/// Loads all tables that there can be into a namespace of its own.
Result<> load_tables(const config::Config& config) {
  if (auto entered = platform::enter_new_network_namespace(); !entered) return entered;
  const std::vector<nft::Listeners> listeners{{Family::v4, 1, {1, 2}}, {Family::v6, 1, {1, 2}}};
  std::vector<nft::Table> tables{nft::plan_tun_link({"hp0", "hp0-in", Mark{1}, listeners}),
                                 nft::plan_veth_link({"hp0", listeners})};
  host::Policy policy{"hp0", {"hp0-in"}, {}, config::marks_of(config), {}, {}};
  policy.addresses = {IpAddr(), *IpAddr::parse("::")};
  policy.redirections = {{Family::v4, 1}, {Family::v6, 1}};
  policy.wanted.redirect = policy.wanted.strict = policy.wanted.gateway = true;
  policy.wanted.exclude_uid = {{1, 2}};
  policy.wanted.exclude_mac = {{}};
  policy.wanted.route_exclude_address = {*Prefix::parse("10.0.0.0/8")};
  tables.push_back(host::make_plan(policy, {}).capture);
  for (const nft::Table& table : tables) {
    const auto loaded = nft::apply(table);
    if (!loaded) return loaded.error();
  }
  return {};
}

/// The same in a process of its own, which ends with the namespace. Returns what went wrong.
std::string try_tables(const config::Config& config) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return last_error("pipe").text();
  const pid_t child = ::fork();
  if (child < 0) return last_error("fork").text();
  if (child == 0) {
    ::close(ends[0]);
    const auto loaded = load_tables(config);
    const std::string text = loaded ? "" : diagnose(loaded.error()).text;
    const bool told = ::write(ends[1], text.data(), text.size()) >= 0;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 1024> piece{};
  for (ssize_t size = 0; (size = ::read(ends[0], piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return text;
}

void print(const std::vector<host::Finding>& findings) {
  for (const host::Finding& finding : findings) {
    std::printf("%-7s %s: %s\n", host::name(finding.state), finding.check.c_str(),
                finding.evidence.c_str());
    if (!finding.cure.empty()) std::printf("        -> %s\n", finding.cure.c_str());
  }
}

void print_json(const std::vector<host::Finding>& findings) {
  auto list = nlohmann::json::array();
  for (const host::Finding& finding : findings) {
    list.push_back({{"state", host::name(finding.state)},
                    {"check", finding.check},
                    {"evidence", finding.evidence},
                    {"cure", finding.cure}});
  }
  std::puts(list.dump(2).c_str());
}

}  // namespace

int doctor(const config::Config& config, bool json) {
  const std::string tables = try_tables(config);  // first: it makes a process of this one
  host::Facts facts = host::gather(config);
  facts.tables = tables;
  const auto findings = host::judge(config, facts);
  if (json) {
    print_json(findings);
  } else {
    print(findings);
  }
  const bool wrong = std::ranges::any_of(findings, [](const host::Finding& finding) {
    return finding.state == host::Finding::State::wrong;
  });
  return wrong ? kExitFailure : kExitOk;
}

int refuse(const config::Config& config) {
  const bool routes = std::ranges::any_of(
      config.inbounds, [](const config::TunInbound& tun) { return tun.auto_route.enabled; });
  if (!routes) return kExitOk;
  const auto all = host::refusals(config, host::gather_network());
  for (const std::string& one : all) std::fprintf(stderr, "hairpin: %s\n", one.c_str());
  return all.empty() ? kExitOk : kExitConfig;
}

}  // namespace hairpin::app
