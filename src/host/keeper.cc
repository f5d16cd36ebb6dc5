#include "host/keeper.h"

#include <chrono>

#include "base/log.h"
#include "host/leftovers.h"
#include "host/snapshot.h"
#include "nft/apply.h"
#include "platform/cgroup.h"

namespace hairpin::host {

namespace {

Result<Plan> plan_now(const Policy& policy) {
  const auto host = take_snapshot(policy);
  if (!host) return host.error();
  return make_plan(policy, *host);
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  return Milliseconds(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Result<Keeper> Keeper::start(std::vector<Policy> policies) {
  const auto start = std::chrono::steady_clock::now();
  Keeper keeper;
  for (const Policy& policy : policies) {
    auto plan = plan_now(policy);
    if (!plan) {
      keeper.remove();
      return plan.error();
    }
    auto applied = apply(std::move(*plan));
    if (!applied) {
      keeper.remove();
      return applied.error();
    }
    keeper.applied_.push_back(std::move(*applied));
  }
  keeper.policies_ = std::move(policies);
  keeper.open_old_walls();
  log::debug("the host is set up, in {:.1f} ms", milliseconds_since(start));
  return keeper;
}

void Keeper::open_old_walls() {
  const auto left = find_leftovers();
  if (!left) return log::warn("{}", left.error().text());
  std::vector<std::string> old = left->walls;
  for (const Applied& applied : applied_) {
    if (!applied.plan().wall) old.push_back(wall_name(applied.plan().interface));
  }
  if (applied_.empty()) return;
  for (const std::string& wall : old) {
    if (auto removed = nft::remove(wall); !removed) log::warn("{}", removed.error().text());
  }
}

void Keeper::refresh() {
  for (std::size_t i = 0; i < applied_.size(); ++i) {
    const std::string& name = policies_[i].interface;
    const auto repaired = applied_[i].repair();
    if (!repaired) {
      log::error("{}: cannot be repaired: {}", name, repaired.error().text());
      continue;
    }
    if (*repaired > 0) {
      log::warn(
          "{}: {} routes, rules or tables of ours had been removed by somebody else, and "
          "have been put back",
          name, *repaired);
    }
    auto plan = plan_now(policies_[i]);
    auto updated = plan ? applied_[i].update(std::move(*plan)) : Result<std::size_t>(plan.error());
    if (!updated) {
      log::error("{}: cannot follow a change of the network: {}", name, updated.error().text());
    } else if (*updated > 0) {
      log::info("{}: followed a change of the network: {} differences", name, *updated);
    }
  }
}

bool Keeper::groups_have_changed() const {
  for (const Applied& applied : applied_) {
    for (const auto& [path, known] : applied.plan().groups) {
      const auto id = platform::cgroup_id(path);
      if (id && *id != known) return true;
    }
  }
  return false;
}

Result<> Keeper::change(std::vector<Policy> policies) {
  std::vector<Plan> before;
  for (const Applied& applied : applied_) before.push_back(applied.plan());
  Result<std::size_t> done = 0;
  for (std::size_t i = 0; done && i < applied_.size(); ++i) {
    auto plan = plan_now(policies[i]);
    done = plan ? applied_[i].update(std::move(*plan)) : Result<std::size_t>(plan.error());
  }
  if (done) {
    policies_ = std::move(policies);
    return {};
  }
  for (std::size_t i = 0; i < applied_.size(); ++i) {
    if (auto back = applied_[i].update(std::move(before[i])); !back) {
      log::error("{}", back.error().text());
    }
  }
  return done.error();
}

Result<> Keeper::bypass(std::size_t index, std::vector<nft::SetEndpoint> destinations) {
  return applied_[index].bypass(std::move(destinations));
}

Result<> Keeper::forget_bypassed() {
  Result<> all;
  for (Applied& applied : applied_) {
    if (auto done = applied.forget_bypassed(); !done) all = std::move(done);
  }
  return all;
}

void Keeper::remove() {
  const auto start = std::chrono::steady_clock::now();
  for (Applied& applied : applied_) applied.remove();
  if (!applied_.empty()) {
    log::debug("the host is as it was, in {:.1f} ms", milliseconds_since(start));
  }
  applied_.clear();
}

}  // namespace hairpin::host
