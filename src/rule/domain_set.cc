#include "rule/domain_set.h"

#include <algorithm>
#include <bit>

namespace hairpin::rule {

namespace {

constexpr std::size_t kHeader = 3;  // kind, length in two bytes

char lower_letter(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// FNV-1a, one byte more in front of what was hashed before.
struct Hash {
  std::uint64_t value = 0xcbf29ce484222325;

  void add(char c) { value = (value ^ static_cast<std::uint8_t>(c)) * 0x100000001b3; }
  /// FNV's upper bits know little of the last bytes.
  std::uint64_t mixed() const { return (value ^ value >> 32) * 0x9e3779b97f4a7c15; }
};

std::uint64_t hash_of(std::string_view name) {
  Hash hash;
  for (std::size_t i = name.size(); i-- > 0;) hash.add(name[i]);
  return hash.mixed();
}

}  // namespace

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return lower_letter(c); });
  return result;
}

DomainSet::Entry DomainSet::entry(std::size_t offset) const {
  const auto byte = [this, offset](std::size_t i) {
    return static_cast<std::uint8_t>(bytes_[offset + i]);
  };
  const std::size_t length = static_cast<std::size_t>(byte(1)) << 8 | byte(2);
  return {byte(0), std::string_view(bytes_).substr(offset + kHeader, length),
          offset + kHeader + length};
}

std::size_t DomainSet::slot_of(std::uint64_t hash, std::string_view name) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = hash >> 32 & mask;
  while (slots_[slot] != 0 && entry(slots_[slot] - 1).name != name) slot = (slot + 1) & mask;
  return slot;
}

void DomainSet::add(std::string_view name, std::uint8_t kinds) {
  bytes_.push_back(static_cast<char>(kinds));
  bytes_.push_back(static_cast<char>(name.size() >> 8));
  bytes_.push_back(static_cast<char>(name.size() & 0xff));
  for (const char c : name) bytes_.push_back(lower_letter(c));
  if ((kinds & kLoose) != 0) has_loose_ = true;
}

void DomainSet::add_suffix(std::string_view suffix) {
  if (suffix.starts_with('.')) {
    add(suffix.substr(1), kBelow);
  } else {
    add(suffix, kExact | kBelow);
  }
}

void DomainSet::finish() {
  bytes_.shrink_to_fit();
  std::size_t count = 0;
  for (std::size_t at = 0; at < bytes_.size(); at = entry(at).next) ++count;
  if (count == 0) return;
  slots_.assign(std::bit_ceil(count + count / 3 + 1), 0);
  for (std::size_t at = 0; at < bytes_.size();) {
    const Entry added = entry(at);
    const std::size_t slot = slot_of(hash_of(added.name), added.name);
    if (slots_[slot] == 0) {
      slots_[slot] = static_cast<std::uint32_t>(at + 1);
    } else {
      bytes_[slots_[slot] - 1] = static_cast<char>(entry(slots_[slot] - 1).kinds | added.kinds);
    }
    at = added.next;
  }
}

std::optional<DomainSet::Match> DomainSet::find(std::string_view name) const {
  if (slots_.empty()) return std::nullopt;
  Hash hash;
  for (std::size_t begin = name.size(); begin-- > 0;) {
    hash.add(name[begin]);
    const bool whole = begin == 0;
    const bool border = !whole && name[begin - 1] == '.';
    if (!whole && !border && !has_loose_) continue;
    const std::size_t slot = slot_of(hash.mixed(), name.substr(begin));
    if (slots_[slot] == 0) continue;
    const Entry found = entry(slots_[slot] - 1);
    if (whole && (found.kinds & kExact) != 0) return Match{found.name, kExact};
    if (border && (found.kinds & kBelow) != 0) return Match{found.name, kBelow};
    if ((found.kinds & kLoose) != 0) return Match{found.name, kLoose};
  }
  return std::nullopt;
}

std::size_t DomainSet::memory() const {
  return bytes_.capacity() + slots_.capacity() * sizeof(slots_[0]);
}

}  // namespace hairpin::rule
