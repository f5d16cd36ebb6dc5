#include "host/plan.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "host/chains.h"
#include "host/prefixes.h"
#include "nft/render.h"

namespace hairpin::host {

namespace {

using platform::Rule;
using platform::RuleAction;

/// The steps of plan.h, as distances from the first priority.
enum Step : std::uint32_t {
  kTaken,
  kMarked,
  kFromUs,
  kOthers,
  kHere,
  kUsers,
  kBound,
  kNamed,
  kKnown,
  kCapture,
  kEnd,
};
static_assert(kEnd + 1 == kPriorities);

constexpr RulePriority kLast{32800};            // the system's are 32766 and 32767
constexpr std::uint32_t kLastUid = 0xfffffffe;  // 0xffffffff is no user

Prefix half(Family family, bool upper) {
  const std::uint8_t first = upper ? 0x80 : 0;
  if (family == Family::v4) return {IpAddr(std::array<std::uint8_t, 4>{first}), 1};
  return {IpAddr(std::array<std::uint8_t, 16>{first}), 1};
}

Prefix host_prefix(const IpAddr& address) {
  return {address, address.bits()};
}

/// All users that are in none of `ranges`.
std::vector<UidRange> all_but(std::vector<UidRange> ranges) {
  std::ranges::sort(ranges);
  std::vector<UidRange> rest;
  std::uint64_t next = 0;
  for (const UidRange& range : ranges) {
    if (range.first > next) rest.push_back({static_cast<std::uint32_t>(next), range.first - 1});
    next = std::max(next, std::uint64_t{range.last} + 1);
  }
  if (next <= kLastUid) rest.push_back({static_cast<std::uint32_t>(next), kLastUid});
  return rest;
}

bool contains(const std::vector<std::string>& names, const char* name) {
  return std::ranges::find(names, name) != names.end();
}

/// The rules of one family that the interface carries.
class FamilyRules {
 public:
  FamilyRules(const Policy& policy, Family family)
      : policy_(policy), wanted_(policy.wanted), family_(family) {}

  std::vector<Rule> make() {
    Rule taken = jump(first_lookup());
    taken.mark = wanted_.marks.input;
    taken.mark_mask = wanted_.marks.mask;
    add(kTaken, taken);
    Rule marked = jump(kEnd);
    marked.negated = true;
    marked.mark = Mark{};
    add(kMarked, marked);
    Rule from_us = jump(kEnd);
    from_us.input_interface = policy_.interface;
    add(kFromUs, from_us);
    Rule others = jump(kEnd);
    if (judges_sockets()) {
      others.negated = true;
      others.input_interface = kThisHost;
    }
    add(kOthers, others);
    if (judges_sockets()) judge_sockets();
    if (names_addresses(wanted_)) {
      // A default route of the table is for those who have no better one.
      Rule named = lookup(wanted_.table);
      named.without_default = true;
      add(kNamed, named);
    }
    Rule known = lookup(platform::kMainTable);
    known.without_default = true;
    add(kKnown, known);
    add(kCapture, lookup(wanted_.table));
    Rule end;
    end.action = RuleAction::nothing;
    add(kEnd, end);
    if (by_mark(wanted_)) {
      Rule last = lookup(wanted_.table);
      last.family = family_;
      last.priority = kLast;
      rules_.push_back(std::move(last));
    }
    return std::move(rules_);
  }

 private:
  RulePriority at(Step step) const { return RulePriority{wanted_.first_rule.value() + step}; }

  void add(Step step, Rule rule) {
    rule.family = family_;
    rule.priority = at(step);
    rules_.push_back(std::move(rule));
  }

  static Rule lookup(TableId table) {
    Rule rule;
    rule.table = table;
    return rule;
  }

  Rule jump(Step to) const {
    Rule rule;
    rule.action = RuleAction::go_to;
    rule.target = at(to);
    return rule;
  }

  /// Jumps go to rules that are there.
  Step first_lookup() const { return names_addresses(wanted_) ? kNamed : kKnown; }

  /// Rules are to judge what this host sends.
  bool judges_sockets() const {
    if (by_mark(wanted_) || contains(wanted_.exclude_interface, kThisHost)) return false;
    return wanted_.include_interface.empty() || contains(wanted_.include_interface, kThisHost);
  }

  /// Only what this host sends gets here.
  void judge_sockets() {
    for (const Prefix& prefix : here(family_)) {
      Rule rule = jump(kEnd);
      rule.destination = prefix;
      add(kHere, rule);
    }
    auto users = wanted_.exclude_uid;
    if (!wanted_.include_uid.empty())
      std::ranges::copy(all_but(wanted_.include_uid), std::back_inserter(users));
    std::ranges::sort(users);
    const auto repeated = std::ranges::unique(users);
    users.erase(repeated.begin(), repeated.end());
    for (const UidRange& range : users) {
      Rule rule = jump(kEnd);
      rule.users = range;
      add(kUsers, rule);
    }
    // IPv4 asks with 0.0.0.0 as long as the source is not chosen. IPv6 asks without any, and then
    // no rule that names one matches.
    if (family_ == Family::v4) add_source(host_prefix(IpAddr()), first_lookup());
    for (const IpAddr& address : policy_.addresses) {
      if (address.family() == family_) add_source(host_prefix(address), first_lookup());
    }
    for (const bool upper : {false, true}) add_source(half(family_, upper), kEnd);
  }

  void add_source(const Prefix& source, Step to) {
    Rule rule = jump(to);
    rule.source = source;
    add(kBound, rule);
  }

  const Policy& policy_;
  const config::AutoRoute& wanted_;
  Family family_;
  std::vector<Rule> rules_;
};

/// What is to be captured, whether the interface can or not.
std::vector<Prefix> wanted_prefixes(const config::AutoRoute& wanted) {
  std::vector<Prefix> all = wanted.route_address;
  if (all.empty()) all = {everything(Family::v4), everything(Family::v6)};
  return subtract(std::move(all), wanted.route_exclude_address);
}

std::vector<Setting> make_settings(const Policy& policy, const Snapshot& host) {
  if (!policy.wanted.gateway) return {};
  std::vector<Setting> settings{{"net.ipv4.ip_forward", "1"}};
  // Whoever forwards does not listen to router advertisements, unless told to.
  for (const std::string& name : host.advertised) {
    std::string dotless = name;
    std::ranges::replace(dotless, '.', '/');
    settings.push_back({"net.ipv6.conf." + dotless + ".accept_ra", "2"});
  }
  settings.push_back({"net.ipv6.conf.all.forwarding", "1"});
  return settings;
}

std::string ip_command(Family family) {
  return family == Family::v4 ? "ip " : "ip -6 ";
}

}  // namespace

bool names_addresses(const config::AutoRoute& wanted) {
  return std::ranges::any_of(wanted.route_address,
                             [](const Prefix& prefix) { return prefix.length != 0; });
}

std::string capture_name(const std::string& interface) {
  return "hairpin-capture-" + interface;
}

std::string opening_comment(const std::string& interface) {
  return std::string(nft::kOpeningComment) + interface;
}

std::string wall_name(const std::string& interface) {
  return std::string(kWallPrefix) + interface;
}

Plan make_plan(const Policy& policy, const Snapshot& host) {
  const auto wanted = wanted_prefixes(policy.wanted);
  Plan plan{policy.interface,
            policy.wanted.bypasses,
            policy.wanted.table,
            {},
            {},
            policy.link_rules,
            make_capture(policy, host, wanted),
            make_wall(policy, host, wanted),
            make_openings(policy, host),
            make_settings(policy, host),
            host.groups};
  std::ranges::copy_if(wanted, std::back_inserter(plan.routes), [&policy](const Prefix& prefix) {
    return carries(policy, prefix.address.family());
  });
  for (const Family family : {Family::v4, Family::v6}) {
    if (!carries(policy, family)) continue;
    auto rules = FamilyRules(policy, family).make();
    std::ranges::move(rules, std::back_inserter(plan.rules));
  }
  return plan;
}

std::string render_routing(const Plan& plan) {
  std::string text;
  for (const Setting& setting : plan.settings) {
    text += "sysctl -w " + setting.name + "=" + setting.value + "\n";
  }
  // Only where it is stricter: see apply.cc.
  text += "sysctl -w net.ipv4.conf." + plan.interface + ".rp_filter=2\n";
  for (const Prefix& prefix : plan.routes) {
    text += ip_command(prefix.address.family()) + "route add ";
    text += prefix.length == 0 ? "default" : prefix.text();
    text += " dev " + plan.interface + " table " + std::to_string(plan.table.value());
    text += " congctl cubic proto " + std::to_string(platform::kRouteProtocol) + "\n";
  }
  for (const Rule& rule : plan.rules) {
    text += ip_command(rule.family) + "rule add " + platform::text(rule) + "\n";
  }
  return text;
}

std::string render_tables(const Plan& plan) {
  std::string text = nft::render(plan.capture);
  if (plan.wall) text += nft::render(*plan.wall);
  for (const nft::Opening& opening : plan.openings) text += nft::render(opening) + "\n";
  return text;
}

}  // namespace hairpin::host
