// Answers that are still good, the one that was used least recently leaving first. Pure: whoever
// asks says what time it is. For one thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "wire/dns.h"

namespace hairpin::dns {

using AnswerPtr = std::shared_ptr<const Answer>;

class Cache {
 public:
  explicit Cache(std::size_t capacity) : capacity_(capacity) {}

  struct Hit {
    AnswerPtr answer;
    std::uint32_t age = 0;  ///< Seconds.
  };
  /// Nothing where `answer` is null. With `forever` age does not matter.
  Hit find(const std::string& key, std::uint64_t now, bool forever);
  /// For `answer->ttl` seconds, or `least` if that is more.
  void keep(const std::string& key, AnswerPtr answer, std::uint64_t now, std::uint32_t least = 0);
  void set_capacity(std::size_t capacity);
  void clear();
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    AnswerPtr answer;
    std::uint64_t since = 0;  ///< Seconds, as all times here.
    std::uint64_t until = 0;
  };
  using Place = std::list<Entry>::iterator;
  void shrink();

  std::size_t capacity_;
  std::list<Entry> by_use_;  ///< The one used last stands first.
  std::unordered_map<std::string, Place> entries_;
};

}  // namespace hairpin::dns
