#include "rule/names.h"

#include <algorithm>
#include <deque>
#include <set>

#include "rule/expressions.h"

namespace hairpin::rule {

namespace {

constexpr char kPrefix = '\r';  // anything may be in front
constexpr char kRoot = '\n';    // nothing, or anything and a dot
/// No name is longer (RFC 1035, 3.1); lines of AdGuard's and old habits may be.
constexpr std::size_t kLongest = 4096;
constexpr char kSuffix = '\b';  // AdGuard's: anything may follow

bool bit(const std::vector<std::uint64_t>& words, std::size_t n) {
  return n / 64 < words.size() && (words[n / 64] >> (n % 64) & 1) != 0;
}

void append(std::vector<std::uint64_t>& words, std::size_t n, bool value) {
  if (n / 64 >= words.size()) words.resize(n / 64 + 1);
  if (value) words[n / 64] |= std::uint64_t{1} << (n % 64);
}

/// Backwards by code points: the bytes of each stay in their order.
std::string reversed(std::string text) {
  std::ranges::reverse(text);
  const auto continues = [&text](std::size_t i) {
    return (static_cast<std::uint8_t>(text[i]) & 0xc0) == 0x80;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t begin = i;
    while (i + 1 < text.size() && continues(i)) ++i;
    std::reverse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                 text.begin() + static_cast<std::ptrdiff_t>(i + 1));
  }
  return text;
}

}  // namespace

std::optional<std::vector<std::string>> keys_of(const Trie& trie, const Limits& limits) {
  const std::size_t nodes = trie.labels.size() + 1;
  // Every node but the root is one 0, and each has a 1.
  if (nodes > UINT32_MAX || trie.bitmap.size() * 64 < 2 * nodes - 1) return std::nullopt;
  std::vector<std::uint32_t> parents(nodes);
  std::size_t node = 0;
  std::size_t children = 0;
  for (std::size_t n = 0; node < nodes; ++n) {
    if (n >= trie.bitmap.size() * 64) return std::nullopt;
    if (bit(trie.bitmap, n)) {
      ++node;
      // A node that no other leads to: nothing behind it can be right.
      if (node < nodes && node > children) return std::nullopt;
    } else {
      if (++children >= nodes) return std::nullopt;
      parents[children] = static_cast<std::uint32_t>(node);
    }
  }
  std::vector<std::string> keys;
  std::size_t bytes = 0;
  for (std::size_t leaf = 0; leaf < nodes; ++leaf) {
    if (!bit(trie.leaves, leaf)) continue;
    std::string key;
    for (std::size_t at = leaf; at != 0; at = parents[at]) {
      key.push_back(trie.labels[at - 1]);
      if (++bytes > limits.bytes) return std::nullopt;
    }
    if (key.size() > kLongest || keys.size() >= limits.keys) return std::nullopt;
    // From the leaf to the root is backwards, byte by byte.
    std::ranges::reverse(key);
    keys.push_back(reversed(std::move(key)));
  }
  return keys;
}

Trie trie_of(std::vector<std::string> keys) {
  for (std::string& key : keys) key = reversed(std::move(key));
  std::ranges::sort(keys);
  keys.erase(std::ranges::unique(keys).begin(), keys.end());
  struct Node {
    std::size_t from, to;  ///< The keys that begin with what leads here.
    std::size_t depth;
  };
  Trie trie;
  std::size_t bits = 0;
  std::size_t number = 0;
  std::deque<Node> nodes{{0, keys.size(), 0}};
  for (; !nodes.empty(); nodes.pop_front(), ++number) {
    Node node = nodes.front();
    const bool is_leaf = node.from < node.to && keys[node.from].size() == node.depth;
    if (is_leaf) {
      append(trie.leaves, number, true);
      ++node.from;
    }
    while (node.from < node.to) {
      const char label = keys[node.from][node.depth];
      std::size_t behind = node.from;
      while (behind < node.to && keys[behind][node.depth] == label) ++behind;
      nodes.push_back({node.from, behind, node.depth + 1});
      trie.labels.push_back(label);
      append(trie.bitmap, bits++, false);
      node.from = behind;
    }
    append(trie.bitmap, bits++, true);
  }
  return trie;
}

bool is_empty(const Names& names) {
  return names.domain.empty() && names.domain_suffix.empty() && names.expressions.empty();
}

Names names_of(std::vector<std::string> keys) {
  Names names;
  std::set<std::string> exact;
  std::set<std::string> suffixes;
  for (std::string& key : keys) {
    if (key.starts_with(kPrefix) && key.size() > 1 && key[1] != '.') {
      std::string expression;
      for (const char c : key.substr(1)) expression += quoted(c);
      names.expressions.push_back(expression + "$");
    } else if (key.starts_with(kPrefix) || key.starts_with(kRoot)) {
      if (key.size() > 1) suffixes.insert(key.substr(1));
    } else if (!key.empty()) {
      exact.insert(std::move(key));
    }
  }
  for (const std::string& suffix : suffixes) {
    // A name and all below it were two keys in version 1.
    const bool below = suffix.starts_with('.');
    if (below && exact.erase(suffix.substr(1)) != 0) {
      names.domain_suffix.push_back(suffix.substr(1));
    } else {
      names.domain_suffix.push_back(suffix);
    }
  }
  std::ranges::sort(names.domain_suffix);
  names.domain.assign(exact.begin(), exact.end());
  return names;
}

std::vector<std::string> keys_of(const Names& names, bool old_form) {
  std::vector<std::string> keys = names.domain;
  for (const std::string& suffix : names.domain_suffix) {
    if (suffix.starts_with('.')) {
      keys.push_back(kPrefix + suffix);
    } else if (old_form) {
      keys.push_back(suffix);
      keys.push_back(std::string{kPrefix, '.'} + suffix);
    } else {
      keys.push_back(kRoot + suffix);
    }
  }
  return keys;
}

std::vector<std::string> adguard_lines_of(const std::vector<std::string>& keys) {
  std::vector<std::string> lines;
  for (std::string key : keys) {
    std::string line;
    if (key.starts_with(kRoot)) {
      line = "||";
      key.erase(0, 1);
    } else if (key.starts_with(kPrefix)) {
      key.erase(0, 1);
    } else {
      line = "|";
    }
    if (key.ends_with(kSuffix)) {
      key.pop_back();
    } else {
      key.push_back('^');
    }
    lines.push_back(line + key);
  }
  return lines;
}

std::vector<std::string> keys_of_adguard(const std::vector<std::string>& lines) {
  std::vector<std::string> keys;
  for (std::string line : lines) {
    std::string key;
    if (line.starts_with("||")) {
      key = kRoot;
      line.erase(0, 2);
    } else if (line.starts_with("|")) {
      line.erase(0, 1);
    } else {
      key = kPrefix;
    }
    if (line.ends_with("^")) {
      line.pop_back();
    } else {
      if (line.ends_with(".")) line.pop_back();
      line.push_back(kSuffix);
    }
    keys.push_back(key + line);
  }
  return keys;
}

}  // namespace hairpin::rule
