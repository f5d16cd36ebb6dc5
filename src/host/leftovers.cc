#include "host/leftovers.h"

#include <algorithm>
#include <set>

#include "host/plan.h"
#include "nft/apply.h"
#include "platform/remover.h"

namespace hairpin::host {

namespace {

constexpr std::string_view kCapturePrefix = "hairpin-capture-";

}  // namespace

Result<std::vector<platform::Rule>> idle_rules() {
  auto rules = platform::own_rules();
  if (!rules) return rules;
  std::set<TableId> used;
  for (const platform::Rule& rule : *rules) {
    if (rule.action != platform::RuleAction::lookup || rule.table == platform::kMainTable) continue;
    const auto routes = platform::list_routes(rule.table);
    if (!routes) return routes.error();
    if (!routes->empty()) used.insert(rule.table);
  }
  std::vector<platform::Rule> idle;
  for (const platform::Rule& rule : *rules) {
    const std::uint32_t priority = rule.priority.value();
    const bool in_use = std::ranges::any_of(*rules, [&](const platform::Rule& other) {
      const std::uint32_t near = other.priority.value();
      return used.contains(other.table) &&
             (near > priority ? near - priority : priority - near) < kPriorities;
    });
    if (!in_use) idle.push_back(rule);
  }
  return idle;
}

Result<Leftovers> find_leftovers() {
  Leftovers left;
  const auto tables = nft::list_tables();
  if (!tables) return tables.error();
  for (const nft::FoundTable& table : *tables) {
    if (table.owned && table.name.starts_with(kCapturePrefix)) {
      left.running.push_back(table.name.substr(kCapturePrefix.size()));
    }
  }
  const auto runs = [&left](const std::string& interface) {
    return std::ranges::find(left.running, interface) != left.running.end();
  };
  for (const nft::FoundTable& table : *tables) {
    if (table.name.starts_with(kWallPrefix) && !runs(table.name.substr(kWallPrefix.size()))) {
      left.walls.push_back(table.name);
    }
  }
  const auto openings = nft::list_openings();
  if (!openings) return openings.error();
  for (const nft::FoundOpening& opening : *openings) {
    if (runs(opening.comment.substr(nft::kOpeningComment.size()))) continue;
    left.openings.push_back(opening);
  }
  auto rules = idle_rules();
  if (!rules) return rules.error();
  left.rules = std::move(*rules);
  return left;
}

Result<> remove(const Leftovers& leftovers) {
  auto remover = platform::Remover::open();
  if (!remover) return remover.error();
  for (const platform::Rule& rule : leftovers.rules) {
    if (auto removed = remover->remove(rule); !removed) return removed;
  }
  for (const nft::FoundOpening& opening : leftovers.openings) {
    if (auto removed = nft::remove(opening); !removed) return removed;
  }
  for (const std::string& wall : leftovers.walls) {
    if (auto removed = nft::remove(wall); !removed) return removed;
  }
  return {};
}

}  // namespace hairpin::host
