// A plan into the kernel, and out of it again.
#pragma once

#include "host/plan.h"
#include "platform/remover.h"

namespace hairpin::host {

/// What has been applied. Routes go with their interface; rules are taken away by `remove`.
class Applied {
 public:
  Applied(platform::Remover remover, std::vector<platform::Rule> rules)
      : remover_(std::move(remover)), rules_(std::move(rules)) {}

  void note(const platform::Rule& rule) { rules_.push_back(rule); }
  /// Removes the rules, capturing ones first. What is gone already is no error; the others are told
  /// in the log.
  void remove();

 private:
  platform::Remover remover_;
  std::vector<platform::Rule> rules_;
};

/// Into the network namespace of the calling thread: all of the plan, or nothing of it. Rules of a
/// former run that nobody needs any more are removed before. Errors: EBUSY when another instance,
/// or somebody else, uses the table or the priorities.
Result<Applied> apply(const Plan& plan);

}  // namespace hairpin::host
