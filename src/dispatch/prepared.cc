#include "dispatch/prepared.h"

namespace hairpin::dispatch {

// What is removed is destroyed, and so closed, after the lock is given back.

PreparedConnections::List PreparedConnections::remove(const FlowKey& key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? List() : remove(found->second);
}

PreparedConnections::List PreparedConnections::remove(List::iterator which) {
  const auto [first, last] = by_sequence_.equal_range(which->sequence);
  for (auto it = first; it != last; ++it) {
    if (it->second != which) continue;
    by_sequence_.erase(it);
    break;
  }
  by_key_.erase(which->key);
  List removed;
  removed.splice(removed.end(), waiting_, which);
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
  by_sequence_.emplace(sequence, std::prev(waiting_.end()));
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
  const auto [first, last] = by_sequence_.equal_range(sequence);
  for (auto it = first; it != last; ++it) {
    const FlowKey& other = it->second->key;
    if (other.client.address != key.client.address || other.destination != key.destination ||
        other.inbound != key.inbound) {
      continue;
    }
    List taken = remove(it->second);
    return std::move(taken.front().prepared);
  }
  return std::nullopt;
}

std::size_t PreparedConnections::sweep() {
  List old;
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  while (!waiting_.empty() && waiting_.front().until <= now) {
    old.splice(old.end(), remove(waiting_.begin()));
  }
  return old.size();
}

}  // namespace hairpin::dispatch
