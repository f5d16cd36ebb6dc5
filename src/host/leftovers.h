// What is left of hairpins that were killed, or that have closed the host behind them.
#pragma once

#include <string>
#include <vector>

#include "nft/foreign.h"
#include "platform/routes.h"

namespace hairpin::host {

struct Leftovers {
  std::vector<platform::Rule> rules;        ///< That lead to tables in which nothing is any more.
  std::vector<std::string> walls;           ///< Tables.
  std::vector<nft::FoundOpening> openings;  ///< In other people's chains.
  /// Interfaces of hairpins that run: what belongs to them is not left over.
  std::vector<std::string> running;

  bool empty() const { return rules.empty() && walls.empty() && openings.empty(); }
};

/// Our rules in groups that belong together: those that end with one marker, or lead to one table.
/// A group is in use as long as the table that it asks holds a route; without one it does nothing.
Result<std::vector<platform::Rule>> idle_rules();

/// In the network namespace of the calling thread.
Result<Leftovers> find_leftovers();

Result<> remove(const Leftovers& leftovers);

}  // namespace hairpin::host
