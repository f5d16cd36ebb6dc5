#include "host/plan.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "host/prefixes.h"

namespace hairpin::host {

namespace {

using platform::Rule;
using platform::RuleAction;

/// The steps of plan.h, as distances from the first priority.
enum Step : std::uint32_t {
  kOwn,
  kUsers,
  kInterfaces,
  kOtherInterfaces,
  kFromUs,
  kNamed,
  kKnown,
  kBoundToUs,
  kUnbound,
  kBound,
  kForwarded,
  kEnd,
};
static_assert(kEnd + 1 == kPriorities);

constexpr const char* kThisHost = "lo";         // the input interface of what the host itself sends
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

/// The rules of one family.
class FamilyRules {
 public:
  FamilyRules(const Policy& policy, Family family)
      : policy_(policy), wanted_(policy.wanted), family_(family) {
    carried_ = std::ranges::any_of(
        policy.addresses, [family](const IpAddr& address) { return address.family() == family; });
  }

  std::vector<Rule> make() {
    if (!carried_ && !wanted_.strict) return {};
    leave_out();
    if (carried_) {
      add(kFromUs, to_end([this](Rule& rule) { rule.input_interface = policy_.interface; }));
      // A default route of the table is for those who have no better one.
      Rule named = lookup(wanted_.table);
      named.without_default = true;
      add(kNamed, named);
    }
    Rule known = lookup(platform::kMainTable);
    known.without_default = true;
    add(kKnown, known);
    capture_sockets();
    add(kForwarded, capture());
    Rule end;
    end.action = RuleAction::nothing;
    add(kEnd, end);
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

  /// The table; or, where the interface does not carry this family, the refusal.
  Rule capture() const {
    if (carried_) return lookup(wanted_.table);
    Rule rule;
    rule.action = RuleAction::unreachable;
    return rule;
  }

  template <class Fill>
  Rule to_end(Fill fill) const {
    Rule rule;
    rule.action = RuleAction::go_to;
    rule.target = at(kEnd);
    fill(rule);
    return rule;
  }

  void leave_out() {
    for (const Mark mark : policy_.own_marks) {
      add(kOwn, to_end([mark](Rule& rule) { rule.mark = mark; }));
    }
    auto users = wanted_.exclude_uid;
    if (!wanted_.include_uid.empty())
      std::ranges::copy(all_but(wanted_.include_uid), std::back_inserter(users));
    for (const UidRange& range : users) {
      // Forwarded packets count as root's: only what this host sends is meant.
      add(kUsers, to_end([&range](Rule& rule) {
            rule.input_interface = kThisHost;
            rule.users = range;
          }));
    }
    for (const std::string& name : wanted_.exclude_interface) {
      add(kInterfaces, to_end([&name](Rule& rule) { rule.input_interface = name; }));
    }
    if (wanted_.include_interface.empty()) return;
    for (const std::string& name : wanted_.include_interface) {
      Rule rule;
      rule.action = RuleAction::go_to;
      // What an uncarried family has to do comes later.
      rule.target = at(carried_ ? kFromUs : kKnown);
      rule.input_interface = name;
      add(kInterfaces, rule);
    }
    add(kOtherInterfaces, to_end([](Rule&) {}));
  }

  void capture_sockets() {
    for (const IpAddr& address : policy_.addresses) {
      if (address.family() != family_) continue;
      Rule bound = capture();
      bound.input_interface = kThisHost;
      bound.source = host_prefix(address);
      add(kBoundToUs, bound);
    }
    // IPv4 asks with 0.0.0.0 as long as the source is not chosen. IPv6 asks without any, and then
    // no rule that names one matches: those fall through to the end of this list.
    if (family_ == Family::v4) {
      Rule unbound = capture();
      unbound.input_interface = kThisHost;
      unbound.source = host_prefix(IpAddr());
      add(kUnbound, unbound);
    }
    if (!carried_) return;
    for (const bool upper : {false, true}) {
      add(kBound, to_end([this, upper](Rule& rule) {
            rule.input_interface = kThisHost;
            rule.source = half(family_, upper);
          }));
    }
  }

  const Policy& policy_;
  const config::AutoRoute& wanted_;
  Family family_;
  bool carried_ = false;
  std::vector<Rule> rules_;
};

std::vector<Prefix> make_routes(const Policy& policy) {
  std::vector<Prefix> wanted = policy.wanted.route_address;
  if (wanted.empty()) wanted = {everything(Family::v4), everything(Family::v6)};
  std::erase_if(wanted, [&policy](const Prefix& prefix) {
    return std::ranges::none_of(policy.addresses, [&prefix](const IpAddr& address) {
      return address.family() == prefix.address.family();
    });
  });
  return subtract(std::move(wanted), policy.wanted.route_exclude_address);
}

std::string ip_command(Family family) {
  return family == Family::v4 ? "ip " : "ip -6 ";
}

}  // namespace

Plan make_plan(const Policy& policy) {
  Plan plan{policy.interface, policy.wanted.table, make_routes(policy), {}};
  for (const Family family : {Family::v4, Family::v6}) {
    auto rules = FamilyRules(policy, family).make();
    std::ranges::move(rules, std::back_inserter(plan.rules));
  }
  return plan;
}

std::string render(const Plan& plan) {
  std::string text;
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

}  // namespace hairpin::host
