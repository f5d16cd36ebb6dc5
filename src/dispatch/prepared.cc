#include "dispatch/prepared.h"

#include <algorithm>

namespace hairpin::dispatch {

// What is removed is destroyed, and so closed, after the lock is given back.

PreparedConnections::List PreparedConnections::remove(const FlowKey& key) {
  List removed;
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return removed;
  removed.splice(removed.end(), waiting_, found->second);
  by_key_.erase(found);
  size_.store(by_key_.size(), std::memory_order_relaxed);
  return removed;
}

std::size_t PreparedConnections::put(const FlowKey& key, Prepared prepared,
                                     std::uint32_t sequence) {
  List replaced;
  const std::lock_guard lock(mutex_);
  replaced = remove(key);
  waiting_.push_back({key, std::move(prepared), Clock::now() + kPatience, sequence});
  by_key_.emplace(key, std::prev(waiting_.end()));
  size_.store(by_key_.size(), std::memory_order_relaxed);
  return replaced.size();
}

bool PreparedConnections::contains(const FlowKey& key) const {
  if (size() == 0) return false;
  const std::lock_guard lock(mutex_);
  return by_key_.contains(key);
}

std::optional<Prepared> PreparedConnections::take(const FlowKey& key) {
  const std::lock_guard lock(mutex_);
  List taken = remove(key);
  if (taken.empty()) return std::nullopt;
  return std::move(taken.front().prepared);
}

std::optional<Prepared> PreparedConnections::take(const FlowKey& key, std::uint32_t sequence) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(waiting_, [&](const Waiting& one) {
    return one.sequence == sequence && one.key.client.address == key.client.address &&
           one.key.destination == key.destination && one.key.inbound == key.inbound;
  });
  if (found == waiting_.end()) return std::nullopt;
  List taken = remove(FlowKey(found->key));
  return std::move(taken.front().prepared);
}

std::size_t PreparedConnections::sweep() {
  List old;
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  while (!waiting_.empty() && waiting_.front().until <= now) {
    by_key_.erase(waiting_.front().key);
    old.splice(old.end(), waiting_, waiting_.begin());
  }
  size_.store(by_key_.size(), std::memory_order_relaxed);
  return old.size();
}

}  // namespace hairpin::dispatch
