// Plans as text: tests/golden/plan has what each configuration leads to. To write them anew, set
// HAIRPIN_WRITE_GOLDEN, and read the difference.
#include "host/plan.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace hairpin::host {
namespace {

struct Case {
  const char* name;
  Policy policy;
};

Policy base() {
  Policy policy;
  policy.interface = "hp0";
  policy.addresses = {*IpAddr::parse("172.18.0.1"), *IpAddr::parse("fdfe:dcba:9876::1")};
  policy.own_marks = {Mark{0x2024}};
  return policy;
}

template <class Change>
Case with(const char* name, Change change) {
  Case made{name, base()};
  change(made.policy, made.policy.wanted);
  return made;
}

Prefix prefix(const char* text) {
  return *Prefix::parse(text);
}

const std::vector<Case>& cases() {
  using config::AutoRoute;
  static const std::vector<Case> all{
      with("everything", [](Policy&, AutoRoute&) {}),
      with("strict", [](Policy&, AutoRoute& wanted) { wanted.strict = true; }),
      with("v4-only", [](Policy& policy, AutoRoute&) { policy.addresses.pop_back(); }),
      with("v4-only-strict",
           [](Policy& policy, AutoRoute& wanted) {
             policy.addresses.pop_back();
             wanted.strict = true;
           }),
      with("v6-only-strict",
           [](Policy& policy, AutoRoute& wanted) {
             policy.addresses.erase(policy.addresses.begin());
             wanted.strict = true;
           }),
      with("elsewhere", [](Policy& policy, AutoRoute&) { policy.own_marks.clear(); }),
      with("two-marks", [](Policy& policy, AutoRoute&) { policy.own_marks.push_back(Mark{7}); }),
      with("two-addresses",
           [](Policy& policy, AutoRoute&) {
             policy.addresses.push_back(*IpAddr::parse("172.18.9.1"));
           }),
      with("other-numbers",
           [](Policy&, AutoRoute& wanted) {
             wanted.table = TableId{100000};
             wanted.first_rule = RulePriority{500};
           }),
      with("some-addresses",
           [](Policy&, AutoRoute& wanted) {
             wanted.route_address = {prefix("203.0.113.0/24"), prefix("2001:db8:99::/64")};
           }),
      with("excluded-addresses",
           [](Policy&, AutoRoute& wanted) {
             wanted.route_exclude_address = {prefix("192.0.0.0/3"), prefix("8000::/1")};
           }),
      with("some-without-others",
           [](Policy&, AutoRoute& wanted) {
             wanted.route_address = {prefix("10.0.0.0/8")};
             wanted.route_exclude_address = {prefix("10.0.0.0/9"), prefix("10.192.0.0/10")};
           }),
      with("include-interfaces",
           [](Policy&, AutoRoute& wanted) { wanted.include_interface = {"br0", "wlan0"}; }),
      with("include-this-host",
           [](Policy&, AutoRoute& wanted) { wanted.include_interface = {"lo"}; }),
      with("include-interface-v4-only-strict",
           [](Policy& policy, AutoRoute& wanted) {
             policy.addresses.pop_back();
             wanted.strict = true;
             wanted.include_interface = {"br0"};
           }),
      with("exclude-interfaces",
           [](Policy&, AutoRoute& wanted) { wanted.exclude_interface = {"docker0", "virbr0"}; }),
      with("exclude-users",
           [](Policy&, AutoRoute& wanted) { wanted.exclude_uid = {{0, 0}, {100, 200}}; }),
      with("include-users",
           [](Policy&, AutoRoute& wanted) { wanted.include_uid = {{1500, 2000}, {1000, 1600}}; }),
      with("include-and-exclude-users",
           [](Policy&, AutoRoute& wanted) {
             wanted.include_uid = {{1000, 0xfffffffe}};
             wanted.exclude_uid = {{1001, 1001}};
           }),
      with("exclude-this-host",
           [](Policy&, AutoRoute& wanted) { wanted.exclude_interface = {"lo"}; }),
      with("redirect",
           [](Policy& policy, AutoRoute& wanted) {
             wanted.redirect = true;
             policy.companions = {"hp0-in"};
             policy.redirections = {{Family::v4, 1001}, {Family::v6, 1002}};
           }),
      with("redirect-queue",
           [](Policy& policy, AutoRoute& wanted) {
             wanted.redirect = true;
             policy.redirections = {{Family::v4, 1001}, {Family::v6, 1002}};
             policy.queue = {100, 2};
           }),
      with("redirect-queue-marks",
           [](Policy& policy, AutoRoute& wanted) {
             wanted.redirect = true;
             wanted.marks = {Mark{0x100}, Mark{0x300}, Mark{0x200}, 0xff00};
             policy.redirections = {{Family::v4, 1001}};
             policy.queue = {4000, 1};
           }),
      with("redirect-some-strict",
           [](Policy& policy, AutoRoute& wanted) {
             wanted.redirect = wanted.strict = true;
             wanted.route_exclude_address = {prefix("0.0.0.0/1"), prefix("::/1")};
             wanted.marks.input = Mark{0x100};
             wanted.marks.mask = 0xff00;
             policy.redirections = {{Family::v4, 1001}, {Family::v6, 1002}};
           }),
      with("bypasses-closed",
           [](Policy&, AutoRoute& wanted) {
             wanted.bypasses = true;
             wanted.strict = true;
             wanted.on_stop = config::OnStop::closed;
           }),
      with("macs",
           [](Policy&, AutoRoute& wanted) { wanted.exclude_mac = {{2, 0, 0x5e, 0, 0x53, 1}}; }),
      with("include-macs",
           [](Policy&, AutoRoute& wanted) {
             wanted.include_mac = {{2, 0, 0x5e, 0, 0x53, 1}, {2, 0, 0x5e, 0, 0x53, 2}};
           }),
      with("exclude-groups",
           [](Policy&, AutoRoute& wanted) {
             wanted.exclude_cgroup = {"user.slice/games.scope", "proxy.service"};
             wanted.exclude_uid = {{100, 200}};
           }),
      with("include-groups",
           [](Policy&, AutoRoute& wanted) {
             wanted.include_cgroup = {"user.slice/games.scope", "proxy.service"};
             wanted.include_uid = {{1000, 1000}, {2000, 3000}};
           }),
      with("address-sets",
           [](Policy&, AutoRoute& wanted) {
             wanted.route_address_set = {"some"};
             wanted.set_address =
                 intervals_of({prefix("203.0.113.0/25"), prefix("203.0.113.128/26"),
                               prefix("2001:db8::/33"), prefix("2001:db8:8000::/33")});
             wanted.route_exclude_address_set = {"others"};
             wanted.set_exclude_address =
                 intervals_of({prefix("203.0.113.7/32"), prefix("255.0.0.0/8")});
           }),
      with("closed", [](Policy&, AutoRoute& wanted) { wanted.on_stop = config::OnStop::closed; }),
      with("gateway", [](Policy&, AutoRoute& wanted) { wanted.gateway = true; }),
      with("gateway-redirect",
           [](Policy& policy, AutoRoute& wanted) {
             wanted.gateway = wanted.redirect = true;
             policy.companions = {"hp0-in"};
             policy.redirections = {{Family::v4, 1001}, {Family::v6, 1002}};
           }),
      with("all-at-once",
           [](Policy& policy, AutoRoute& wanted) {
             policy.addresses.pop_back();
             wanted.strict = true;
             wanted.route_exclude_address = {prefix("198.51.100.0/24")};
             wanted.exclude_interface = {"tun1"};
             wanted.exclude_uid = {{33, 33}};
           }),
  };
  return all;
}

void expect_golden(const std::string& name, const std::string& made) {
  const std::string path = std::string(HAIRPIN_GOLDEN) + "/plan/" + name;
  if (std::getenv("HAIRPIN_WRITE_GOLDEN") != nullptr) std::ofstream(path) << made;
  std::ifstream file(path);
  std::ostringstream wanted;
  wanted << file.rdbuf();
  EXPECT_EQ(made, wanted.str()) << path;
}

/// A host with a LAN, two control groups, and a firewall.
Snapshot host() {
  constexpr std::uint8_t kInet = 1;
  constexpr std::uint8_t kIpv4 = 2;
  Snapshot host;
  host.known = {prefix("192.0.2.0/24"), prefix("2001:db8:1::/64")};
  host.groups = {{"user.slice/games.scope", 4711}, {"proxy.service", 12}};
  host.filters = {{kInet, "firewall", "input", nft::Hook::input, true},
                  {kInet, "firewall", "forward", nft::Hook::forward, true},
                  {kIpv4, "filter", "FORWARD", nft::Hook::forward, false}};
  host.advertised = {"eth0.7"};
  return host;
}

TEST(Plan, IsWhatTheGoldenTextSays) {
  for (const Case& one : cases()) {
    const Plan plan = make_plan(one.policy, host());
    expect_golden(std::string(one.name) + ".ip", render_routing(plan));
    expect_golden(std::string(one.name) + ".nft", render_tables(plan));
  }
}

TEST(Plan, KeepsToItsPriorities) {
  for (const Case& one : cases()) {
    const std::uint32_t first = one.policy.wanted.first_rule.value();
    for (const platform::Rule& rule : make_plan(one.policy, host()).rules) {
      if (rule.priority == RulePriority{32800}) continue;  // behind everybody's
      EXPECT_GE(rule.priority.value(), first) << one.name;
      EXPECT_LT(rule.priority.value(), first + kPriorities) << one.name;
      if (rule.action != platform::RuleAction::go_to) continue;
      EXPECT_GT(rule.target, rule.priority) << one.name << ": the kernel only jumps forward";
    }
  }
}

}  // namespace
}  // namespace hairpin::host
