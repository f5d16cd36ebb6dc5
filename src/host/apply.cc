#include "host/apply.h"

#include "base/log.h"
#include "platform/interface.h"

namespace hairpin::host {

namespace {

RulePriority first_of(const Plan& plan) {
  return plan.rules.empty() ? RulePriority{} : plan.rules.front().priority;
}

/// Rules of ours without a table that is in use are left from a process that was killed. Anybody
/// else's at these priorities would be mixed up with ours.
Result<> clear_the_way(const Plan& plan, platform::Remover& remover) {
  const auto used = platform::has_routes(plan.table);
  if (!used) return used.error();
  const auto listed = platform::list_rules();
  if (!listed) return listed.error();
  if (*used) {
    return Error{"routing table " + std::to_string(plan.table.value()) +
                     " is in use, by another hairpin or by somebody else; set " +
                     "iproute2_table_index (and iproute2_rule_index) to numbers that are free",
                 EBUSY};
  }
  const std::uint32_t first = first_of(plan).value();
  for (const platform::ListedRule& entry : *listed) {
    const std::uint32_t priority = entry.rule.priority.value();
    if (priority < first || priority >= first + kPriorities) continue;
    if (entry.protocol != platform::kRouteProtocol) {
      return Error{"there is a routing rule of priority " + std::to_string(priority) +
                       " already (protocol " + std::to_string(entry.protocol) + "), among the " +
                       std::to_string(kPriorities) + " that are wanted from " +
                       std::to_string(first) + " on; set iproute2_rule_index",
                   EBUSY};
    }
    if (auto removed = remover.remove(entry.rule); !removed) return removed.error();
  }
  return {};
}

}  // namespace

void Applied::remove() {
  for (; !rules_.empty(); rules_.pop_back()) {
    auto removed = remover_.remove(rules_.back());
    if (!removed) log::warn("{}", removed.error().text());
  }
}

Result<Applied> apply(const Plan& plan) {
  auto remover = platform::Remover::open();
  if (!remover) return remover.error();
  if (auto clear = clear_the_way(plan, *remover); !clear) return clear.error();
  const auto device = platform::interface_index(plan.interface);
  if (!device) return device.error();
  for (const Prefix& prefix : plan.routes) {
    platform::Route route{prefix, *device, plan.table};
    route.congestion = "cubic";  // the way to the interface does not leave this host
    auto added = platform::add_route(route);
    if (!added && added.error().code == EINVAL) {  // the kernel has no cubic
      route.congestion.clear();
      added = platform::add_route(route);
    }
    if (!added) return added.error();
  }
  Applied applied(std::move(*remover), {});
  // The ends first, for the jumps to arrive at; then in order: exceptions before what captures.
  for (const bool ends : {true, false}) {
    for (const platform::Rule& rule : plan.rules) {
      if ((rule.action == platform::RuleAction::nothing) != ends) continue;
      if (auto added = platform::add_rule(rule); !added) {
        applied.remove();
        return added.error();
      }
      applied.note(rule);
    }
  }
  return applied;
}

}  // namespace hairpin::host
