#include "dns/cache.h"

#include <algorithm>

namespace hairpin::dns {

Cache::Hit Cache::find(const std::string& key, std::uint64_t now, bool forever) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return {};
  const Place place = found->second;
  if (now >= place->until && !(forever && place->answer->ttl != 0)) {
    entries_.erase(found);
    by_use_.erase(place);
    return {};
  }
  by_use_.splice(by_use_.begin(), by_use_, place);
  // Lifetimes of an answer that is used beyond them have run out, and are not negative.
  return {place->answer, static_cast<std::uint32_t>(now - place->since)};
}

void Cache::keep(const std::string& key, AnswerPtr answer, std::uint64_t now, std::uint32_t least) {
  const std::uint32_t lifetime = std::max(answer->ttl, least);
  if (lifetime == 0 || capacity_ == 0) return;
  const auto [entry, fresh] = entries_.try_emplace(key);
  if (fresh) {
    by_use_.push_front({key, std::move(answer), now, now + lifetime});
    entry->second = by_use_.begin();
    return shrink();
  }
  *entry->second = {key, std::move(answer), now, now + lifetime};
  by_use_.splice(by_use_.begin(), by_use_, entry->second);
}

void Cache::set_capacity(std::size_t capacity) {
  capacity_ = capacity;
  shrink();
}

void Cache::clear() {
  entries_.clear();
  by_use_.clear();
}

void Cache::shrink() {
  while (entries_.size() > capacity_) {
    entries_.erase(by_use_.back().key);
    by_use_.pop_back();
  }
}

}  // namespace hairpin::dns
