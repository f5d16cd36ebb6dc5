#include "host/apply.h"

#include <algorithm>

#include "base/log.h"
#include "nft/apply.h"
#include "nft/render.h"
#include "platform/interface.h"

namespace hairpin::host {

namespace {

using platform::Rule;

/// Rules of ours without a table that is in use are left from a process that was killed. Anybody
/// else's at these priorities would be mixed up with ours.
Result<> clear_the_way(const Plan& plan, platform::Remover& remover) {
  if (plan.rules.empty()) return {};
  const auto used = platform::list_routes(plan.table);
  if (!used) return used.error();
  const auto listed = platform::list_rules();
  if (!listed) return listed.error();
  if (!used->empty()) {
    return Error{"routing table " + std::to_string(plan.table.value()) +
                     " is in use, by another hairpin or by somebody else; set " +
                     "iproute2_table_index (and iproute2_rule_index) to numbers that are free",
                 EBUSY};
  }
  const std::uint32_t first = plan.rules.front().priority.value();
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

platform::Route route_to(const Plan& plan, const Prefix& prefix, IfIndex device) {
  platform::Route route{prefix, device, plan.table};
  route.congestion = "cubic";  // the way to the interface does not leave this host
  return route;
}

Result<> install(platform::Route route) {
  auto added = platform::add_route(route);
  if (added || added.error().code != EINVAL) return added;
  route.congestion.clear();  // the kernel has no cubic
  return platform::add_route(route);
}

template <class T>
std::vector<T> only_in(const std::vector<T>& these, const std::vector<T>& those) {
  std::vector<T> rest;
  for (const T& one : these) {
    if (std::ranges::find(those, one) == those.end()) rest.push_back(one);
  }
  return rest;
}

std::string text(const std::optional<nft::Table>& table) {
  return table ? nft::render(*table) : "";
}

/// Whether two tables differ in nothing but their sets' elements.
bool same_but_sets(nft::Table one, nft::Table other) {
  for (nft::Table* table : {&one, &other}) {
    for (nft::Set& set : table->sets) set.elements.clear();
  }
  return nft::render(one) == nft::render(other);
}

/// Brings a table that is loaded to what it shall be. Chains that stay stay as they are, with their
/// counters, where only elements of sets have changed.
Result<> change_table(const Fd& owner, const nft::Table& now, const nft::Table& wanted) {
  if (!same_but_sets(now, wanted)) return nft::replace(owner, wanted);
  for (std::size_t i = 0; i < wanted.sets.size(); ++i) {
    if (now.sets[i].elements == wanted.sets[i].elements) continue;
    if (auto done = nft::replace_elements(owner, wanted.name, wanted.sets[i]); !done) return done;
  }
  return {};
}

/// The wall: nobody's table, so any socket will do.
Result<> load_wall(const std::optional<nft::Table>& wall) {
  if (!wall) return {};
  const auto loaded = nft::apply(*wall);
  if (!loaded) return loaded.error();
  return {};
}

}  // namespace

Result<> Applied::add_rules(const std::vector<Rule>& rules) {
  // The ends first, for the jumps to arrive at; then in order: exceptions before what captures.
  for (const bool ends : {true, false}) {
    for (const Rule& rule : rules) {
      if ((rule.action == platform::RuleAction::nothing) != ends) continue;
      if (auto added = platform::add_rule(rule); !added) return added.error();
      rules_.push_back(rule);
    }
  }
  return {};
}

Result<> Applied::load_tables(const Plan& plan) {
  if (auto walled = load_wall(plan.wall); !walled) return walled;
  auto owner = nft::apply(plan.capture);
  if (!owner) return owner.error();
  owner_ = std::move(*owner);
  return {};
}

void Applied::remove() {
  owner_.reset();
  for (; !rules_.empty(); rules_.pop_back()) {
    auto removed = remover_.remove(rules_.back());
    if (!removed) log::warn("{}", removed.error().text());
  }
}

Result<std::size_t> Applied::update(Plan plan) {
  const auto device = platform::interface_index(plan.interface);
  if (!device) return device.error();
  const auto new_routes = only_in(plan.routes, plan_.routes);
  const auto old_routes = only_in(plan_.routes, plan.routes);
  const auto new_rules = only_in(plan.rules, rules_);
  const auto old_rules = only_in(rules_, plan.rules);
  const bool new_wall = text(plan.wall) != text(plan_.wall);
  const bool new_table = nft::render(plan.capture) != nft::render(plan_.capture);
  for (const Prefix& prefix : new_routes) {
    if (auto added = install(route_to(plan, prefix, *device)); !added) return added.error();
  }
  if (auto added = add_rules(new_rules); !added) return added.error();
  if (new_wall) {
    if (auto walled = load_wall(plan.wall); !walled) return walled.error();
    if (!plan.wall) {
      if (auto gone = nft::remove(plan_.wall->name); !gone) return gone.error();
    }
  }
  if (new_table) {
    auto changed = change_table(owner_, plan_.capture, plan.capture);
    if (!changed) return changed.error();
  }
  for (const Rule& rule : old_rules) {
    if (auto removed = remover_.remove(rule); !removed) return removed.error();
    std::erase(rules_, rule);
  }
  for (const Prefix& prefix : old_routes) {
    auto removed = remover_.remove(route_to(plan_, prefix, *device));
    if (!removed) return removed.error();
  }
  plan_ = std::move(plan);
  return new_routes.size() + old_routes.size() + new_rules.size() + old_rules.size() +
         (new_wall ? 1 : 0) + (new_table ? 1 : 0);
}

Result<std::size_t> Applied::repair() {
  std::size_t repaired = 0;
  const auto device = platform::interface_index(plan_.interface);
  if (!device) return device.error();
  const auto routes = platform::list_routes(plan_.table);
  if (!routes) return routes.error();
  std::vector<Prefix> there;
  for (const platform::FoundRoute& route : *routes) {
    if (route.device == *device) there.push_back(route.destination);
  }
  for (const Prefix& prefix : only_in(plan_.routes, there)) {
    if (auto added = install(route_to(plan_, prefix, *device)); !added) return added.error();
    ++repaired;
  }
  const auto rules = platform::own_rules();
  if (!rules) return rules.error();
  const auto missing = only_in(plan_.rules, *rules);
  for (const Rule& rule : missing) std::erase(rules_, rule);
  if (auto added = add_rules(missing); !added) return added.error();
  repaired += missing.size();
  const auto tables = nft::list_tables();
  if (!tables) return tables.error();
  const auto is_there = [&tables](const std::string& name) {
    return std::ranges::find(*tables, name, &nft::FoundTable::name) != tables->end();
  };
  if (!is_there(plan_.capture.name)) {
    if (auto loaded = nft::replace(owner_, plan_.capture); !loaded) return loaded.error();
    ++repaired;
  }
  if (plan_.wall && !is_there(plan_.wall->name)) {
    if (auto walled = load_wall(plan_.wall); !walled) return walled.error();
    ++repaired;
  }
  return repaired;
}

Result<Applied> apply(Plan plan) {
  auto remover = platform::Remover::open();
  if (!remover) return remover.error();
  if (auto clear = clear_the_way(plan, *remover); !clear) return clear.error();
  const auto device = platform::interface_index(plan.interface);
  if (!device) return device.error();
  // Answers come from all addresses of the world, also to hosts behind this one, and the way back
  // to those addresses is not for everybody the interface.
  if (auto loosened = platform::loosen_source_check(plan.interface); !loosened) {
    log::warn("{}", loosened.error().text());
  }
  for (const Prefix& prefix : plan.routes) {
    if (auto added = install(route_to(plan, prefix, *device)); !added) return added.error();
  }
  Applied applied(std::move(*remover), std::move(plan));
  auto added = applied.add_rules(applied.plan_.rules);
  if (added) added = applied.load_tables(applied.plan_);
  if (added) return applied;
  applied.remove();
  return added.error();
}

}  // namespace hairpin::host
