// The names of a binary rule-set: a trie whose keys are the names read from their ends.
//
// The trie is in LOUDS form: nodes are numbered breadth first, from the root, 0. `labels` has the
// byte that leads to each node but the root; `bitmap` has for each node a 0 for each child and then
// a 1; a bit of `leaves` is set if a key ends in the node. Bit n is bit n % 64 of word n / 64.
//
// A key that is "example.com" backwards is the name. With "\r" behind it, it is all that ends so
// (mostly there is a dot: ".example.com"); with "\n", the name and all below it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hairpin::rule {

struct Trie {
  std::vector<std::uint64_t> leaves;
  std::vector<std::uint64_t> bitmap;
  std::string labels;
};

struct Limits {
  std::size_t keys;
  std::size_t bytes;  ///< Of all keys.
};

/// All keys, each written forwards. Empty: it is no trie, or goes beyond the limits.
std::optional<std::vector<std::string>> keys_of(const Trie& trie, const Limits& limits);

/// The same from keys that are written forwards.
Trie trie_of(std::vector<std::string> keys);

struct Names {
  std::vector<std::string> domain;
  std::vector<std::string> domain_suffix;
  std::vector<std::string> expressions;  ///< For endings that begin within a label.
};
bool is_empty(const Names& names);
Names names_of(std::vector<std::string> keys);
/// `old_form`: as version 1 has it, without "\n".
std::vector<std::string> keys_of(const Names& names, bool old_form);

/// Lines of AdGuard's, and the keys that stand for them.
std::vector<std::string> adguard_lines_of(const std::vector<std::string>& keys);
std::vector<std::string> keys_of_adguard(const std::vector<std::string>& lines);

}  // namespace hairpin::rule
