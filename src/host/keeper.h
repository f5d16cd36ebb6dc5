// Keeps a host as it was set up: makes the plans, applies them, and again whenever the host has
// changed.
#pragma once

#include <string>
#include <vector>

#include "host/apply.h"

namespace hairpin::host {

class Keeper {
 public:
  /// Plans and applies one policy after the other: all of them, or none.
  static Result<Keeper> start(std::vector<Policy> policies);

  /// Looks at the host again. What the plans have to change is changed, what somebody has removed
  /// is put back, and both are told in the log. Errors are told there, too: the next call tries
  /// again.
  void refresh();

  /// Whether a control group that a plan names is another one than when the plan was made.
  bool groups_have_changed() const;

  /// New wishes for the same interfaces. On an error everything is as it was.
  Result<> change(std::vector<Policy> policies);

  /// The kernel leaves these destinations alone from now on, in what reaches policy `index`.
  Result<> bypass(std::size_t index, std::vector<nft::SetEndpoint> destinations);
  /// They are captured again: rules have changed.
  Result<> forget_bypassed();

  void remove();

 private:
  /// Walls of former runs that nobody wants any more: traffic is captured again.
  void open_old_walls();

  std::vector<Policy> policies_;
  std::vector<Applied> applied_;
};

}  // namespace hairpin::host
