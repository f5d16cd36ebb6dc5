#include "host/apply.h"

#include <algorithm>

#include "base/log.h"
#include "host/chains.h"
#include "host/leftovers.h"
#include "nft/apply.h"
#include "nft/render.h"
#include "platform/interface.h"
#include "platform/parameters.h"

namespace hairpin::host {

namespace {

using platform::Rule;

/// Of both families: some MiB of the kernel's memory.
constexpr std::size_t kMostBypassed = 65536;

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
  const auto idle = idle_rules();
  if (!idle) return idle.error();
  const std::uint32_t first = plan.rules.front().priority.value();
  for (const platform::ListedRule& entry : *listed) {
    const std::uint32_t priority = entry.rule.priority.value();
    const bool ours = entry.protocol == platform::kRouteProtocol;
    const bool among = priority >= first && priority < first + kPriorities;
    const bool same = ours && std::ranges::find(plan.rules, entry.rule) != plan.rules.end();
    if (!among && !same) continue;
    const bool used_by_us = ours && std::ranges::find(*idle, entry.rule) == idle->end();
    if (!ours || used_by_us) {
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

/// A table's text without the elements of its sets, which may be many.
std::string outline(const nft::Table& table) {
  nft::Table copy{table.name, table.owned, table.chains, table.counters, {}};
  for (const nft::Set& set : table.sets) {
    copy.sets.push_back({set.name, set.family, {}, set.key});
  }
  return nft::render(copy);
}

bool same(const nft::Table& one, const nft::Table& other) {
  return outline(one) == outline(other) &&
         std::ranges::equal(one.sets, other.sets, {}, &nft::Set::elements, &nft::Set::elements);
}

bool same(const std::optional<nft::Table>& one, const std::optional<nft::Table>& other) {
  return one && other ? same(*one, *other) : one.has_value() == other.has_value();
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

nft::Table Applied::with_bypassed(nft::Table table) const {
  for (nft::Set& full : bypass_sets({bypassed_.begin(), bypassed_.end()})) {
    const auto empty = std::ranges::find(table.sets, full.name, &nft::Set::name);
    if (empty != table.sets.end()) *empty = std::move(full);
  }
  return table;
}

Result<> Applied::bypass(std::vector<nft::SetEndpoint> destinations) {
  if (!plan_.bypasses) return {};
  std::ranges::sort(destinations);
  const auto repeated = std::ranges::unique(destinations);
  destinations.erase(repeated.begin(), repeated.end());
  std::erase_if(destinations,
                [this](const nft::SetEndpoint& one) { return bypassed_.contains(one); });
  if (destinations.empty()) return {};
  if (bypassed_.size() + destinations.size() > kMostBypassed) {
    log::info("{}: {} bypassed destinations are forgotten, to make room", plan_.interface,
              bypassed_.size());
    if (auto emptied = forget_bypassed(); !emptied) return emptied;
  }
  if (auto added = nft::add(owner_, plan_.capture.name, bypass_sets(destinations)); !added) {
    return added;
  }
  bypassed_.insert(destinations.begin(), destinations.end());
  return {};
}

Result<> Applied::forget_bypassed() {
  if (bypassed_.empty()) return {};
  auto emptied = nft::empty(owner_, plan_.capture.name, bypass_sets({}));
  if (emptied) bypassed_.clear();
  return emptied;
}

Result<> Applied::set(const std::vector<Setting>& settings) {
  for (const Setting& setting : settings) {
    const auto was = platform::read_parameter(setting.name);
    if (!was) return was.error();
    if (*was == setting.value) continue;
    if (auto done = platform::write_parameter(setting.name, setting.value); !done) return done;
    before_.push_back({setting.name, *was});
  }
  return {};
}

Result<std::size_t> Applied::open_ways(const std::vector<nft::Opening>& openings) {
  const auto found = nft::list_openings();
  if (!found) return found.error();
  // Ours in one chain are told apart by their number: they differ in what they match, and all of
  // them are inserted together.
  std::size_t opened = 0;
  for (const nft::Opening& opening : openings) {
    const auto in_same_chain = [&opening](const auto& family, const auto& table,
                                          const auto& chain) {
      return family == opening.chain.family && table == opening.chain.table &&
             chain == opening.chain.name;
    };
    const auto there = std::ranges::count_if(*found, [&](const nft::FoundOpening& one) {
      return in_same_chain(one.family, one.table, one.chain) && one.comment == opening.comment;
    });
    const auto wanted = std::ranges::count_if(openings, [&](const nft::Opening& one) {
      return in_same_chain(one.chain.family, one.chain.table, one.chain.name);
    });
    if (there >= wanted) continue;
    if (auto done = nft::insert(opening); !done) {
      // Its table has an owner (firewalld's may). The rest works without.
      log::warn("{}; accept it in that firewall yourself", done.error().text());
      continue;
    }
    ++opened;
    opened_ = true;
  }
  return opened;
}

void Applied::close_ways() {
  const auto found = nft::list_openings();
  if (!found) return log::warn("{}", found.error().text());
  for (const nft::FoundOpening& opening : *found) {
    if (opening.comment != opening_comment(plan_.interface)) continue;
    if (auto removed = nft::remove(opening); !removed) log::warn("{}", removed.error().text());
  }
}

void Applied::remove() {
  owner_.reset();
  if (opened_) close_ways();
  for (; !before_.empty(); before_.pop_back()) {
    const Setting& setting = before_.back();
    auto done = platform::write_parameter(setting.name, setting.value);
    if (!done) log::warn("{}", done.error().text());
  }
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
  const bool new_wall = !same(plan.wall, plan_.wall) || plan.groups != plan_.groups;
  const bool new_table = !same(plan.capture, plan_.capture) || plan.groups != plan_.groups;
  for (const Prefix& prefix : new_routes) {
    if (auto added = install(route_to(plan, prefix, *device)); !added) return added.error();
    plan_.routes.push_back(prefix);
  }
  if (auto added = add_rules(new_rules); !added) return added.error();
  if (new_wall) {
    if (auto walled = load_wall(plan.wall); !walled) return walled.error();
    if (!plan.wall && plan_.wall) {
      if (auto gone = nft::remove(plan_.wall->name); !gone) return gone.error();
    }
    plan_.wall = plan.wall;
  }
  if (new_table) {
    // As a whole also where only elements of sets differ: a new set costs no more than to flush
    // one.
    if (auto changed = nft::replace(owner_, with_bypassed(plan.capture)); !changed)
      return changed.error();
    plan_.capture = plan.capture;
  }
  for (const Rule& rule : old_rules) {
    if (auto removed = remover_.remove(rule); !removed) return removed.error();
    std::erase(rules_, rule);
  }
  for (const Prefix& prefix : old_routes) {
    auto removed = remover_.remove(route_to(plan_, prefix, *device));
    if (!removed) return removed.error();
    std::erase(plan_.routes, prefix);
  }
  if (auto done = set(only_in(plan.settings, plan_.settings)); !done) return done.error();
  const auto opened = open_ways(plan.openings);
  if (!opened) return opened.error();
  plan_ = std::move(plan);
  return *opened + new_routes.size() + old_routes.size() + new_rules.size() + old_rules.size() +
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
  for (const Rule& rule : only_in(plan_.link_rules, *rules)) {
    if (auto added = platform::add_rule(rule); !added) return added.error();
    ++repaired;
  }
  const auto tables = nft::list_tables();
  if (!tables) return tables.error();
  const auto is_there = [&tables](const std::string& name) {
    return std::ranges::find(*tables, name, &nft::FoundTable::name) != tables->end();
  };
  if (!is_there(plan_.capture.name)) {
    if (auto loaded = nft::replace(owner_, with_bypassed(plan_.capture)); !loaded)
      return loaded.error();
    ++repaired;
  }
  const auto opened = open_ways(plan_.openings);
  if (!opened) return opened.error();
  repaired += *opened;
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
  const auto tables = nft::list_tables();
  if (!tables) return tables.error();
  const bool was_closed = plan.wall && std::ranges::find(*tables, plan.wall->name,
                                                         &nft::FoundTable::name) != tables->end();
  Applied applied(std::move(*remover), std::move(plan));
  auto added = applied.add_rules(applied.plan_.rules);
  if (added) added = applied.set(applied.plan_.settings);
  if (added) {
    const auto opened = applied.open_ways(applied.plan_.openings);
    if (!opened) added = opened.error();
  }
  if (added) added = applied.load_tables(applied.plan_);
  if (added) return applied;
  applied.remove();
  if (applied.plan_.wall && !was_closed) (void)nft::remove(applied.plan_.wall->name);
  return added.error();
}

}  // namespace hairpin::host
