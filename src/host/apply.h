// A plan into the kernel, its difference to another, and out of it again.
#pragma once

#include <set>

#include "base/fd.h"
#include "host/plan.h"
#include "platform/remover.h"

namespace hairpin::host {

/// What has been applied. Routes go with their interface, the table of `capture` with its socket;
/// rules are taken away by `remove`; a wall stays.
class Applied {
 public:
  Applied(platform::Remover remover, Plan plan)
      : remover_(std::move(remover)), plan_(std::move(plan)) {}

  const Plan& plan() const { return plan_; }

  /// Changes what is in the kernel into `plan`, which is for the same interface: only what differs
  /// is touched. Returns how much that was. Requires: the calling thread is in the network
  /// namespace of `apply`.
  Result<std::size_t> update(Plan plan);

  /// Puts back what somebody else has removed, and says how much that was.
  Result<std::size_t> repair();

  /// The kernel leaves these alone from now on, if the plan `bypasses`; flows that run stay where
  /// they are.
  Result<> bypass(std::vector<nft::SetEndpoint> destinations);
  /// All are captured again.
  Result<> forget_bypassed();

  /// Capturing first, so that from then on all goes its usual way. What is gone already is no
  /// error; the others are told in the log.
  void remove();

 private:
  friend Result<Applied> apply(Plan plan);
  Result<> add_rules(const std::vector<platform::Rule>& rules);
  Result<> load_tables(const Plan& plan);
  /// With what its sets of destinations have in the kernel.
  nft::Table with_bypassed(nft::Table table) const;
  Result<> set(const std::vector<Setting>& settings);
  /// Inserts what is missing; returns how much that was.
  Result<std::size_t> open_ways(const std::vector<nft::Opening>& openings);
  void close_ways();

  platform::Remover remover_;
  Plan plan_;
  std::vector<platform::Rule> rules_;    ///< In the kernel.
  Fd owner_;                             ///< Of the table of `capture`.
  std::set<nft::SetEndpoint> bypassed_;  ///< In the kernel's sets.
  bool opened_ = false;                  ///< There are rules of ours in other people's chains.
  std::vector<Setting> before_;          ///< What settings were before we changed them.
};

/// Into the network namespace of the calling thread: all of the plan, or nothing of it. Rules of a
/// former run that nobody needs any more are removed before. Errors: EBUSY when another instance,
/// or somebody else, uses the table or the priorities.
Result<Applied> apply(Plan plan);

}  // namespace hairpin::host
