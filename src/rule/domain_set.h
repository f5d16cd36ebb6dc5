// A set of names, and of names with all below them, whose question costs the same for ten and for a
// million of them.
//
// How it works
//
// All names lie in one run of bytes, each behind its kind and its length, and a hash table has
// their offsets. The hash of a name is made from its last byte to its first: while that of
// "www.example.com" is made, those of "com" and "example.com" come along, and the table is asked at
// each of these borders. So a question costs one pass over the name that is asked for, and one look
// into the table for each of its labels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hairpin::rule {

/// What an entry stands for; one may be several.
enum NameKind : std::uint8_t {
  kExact = 1,  ///< The name itself.
  kBelow = 2,  ///< Names that end with a dot and it.
  kLoose = 4,  ///< Names that end with it, wherever a label begins.
};

class DomainSet {
 public:
  DomainSet() = default;

  /// `name` in any case. Requires: not empty, and shorter than 65536 bytes; before `finish`.
  void add(std::string_view name, std::uint8_t kinds);
  /// "example.com" is a name and all below it, ".example.com" only what is below.
  void add_suffix(std::string_view suffix);
  /// To be called once, when all are added.
  void finish();

  /// The entry that `name` belongs to; the least specific if there are several. Requires: lower
  /// case.
  struct Match {
    std::string_view entry;
    NameKind kind;
  };
  std::optional<Match> find(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name).has_value(); }

  bool empty() const { return bytes_.empty(); }
  std::size_t memory() const;  ///< Bytes.

 private:
  struct Entry {
    std::uint8_t kinds;
    std::string_view name;
    std::size_t next;  ///< Offset of the one behind.
  };
  Entry entry(std::size_t offset) const;
  /// The slot of this name, or the free one where it belongs.
  std::size_t slot_of(std::uint64_t hash, std::string_view name) const;

  std::string bytes_;
  std::vector<std::uint32_t> slots_;  ///< Offset + 1; 0: free. A power of two.
  bool has_loose_ = false;
};

/// ASCII letters in lower case; the rest as it is.
std::string lower(std::string_view text);

}  // namespace hairpin::rule
