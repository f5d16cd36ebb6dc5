// Rules of ours in chains of others: where a firewall's policy is to drop, a packet must be
// accepted in its own chain, whatever ours say. They carry a comment, by which they are found
// again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nft/ruleset.h"

namespace hairpin::nft {

/// A base chain of type filter, in a table of IPv4, IPv6 or both.
struct FilterChain {
  std::uint8_t family = 0;  ///< NFPROTO_*
  std::string table;
  std::string name;
  Hook hook = Hook::input;
  bool drops = false;  ///< Its policy.

  friend bool operator==(const FilterChain&, const FilterChain&) = default;
};

/// Those of hooks input and forward, but for tables whose name begins with "hairpin".
Result<std::vector<FilterChain>> list_filter_chains();

/// A rule at the head of somebody else's chain.
struct Opening {
  FilterChain chain;
  Rule rule;
  std::string comment;
};

/// "ip filter INPUT", as nft(8) names a chain. `family`: NFPROTO_*.
std::string full_name(std::uint8_t family, const std::string& table, const std::string& chain);

/// As a command of nft(8).
std::string render(const Opening& opening);

Result<> insert(const Opening& opening);

/// What comments of such rules begin with; the name of the interface follows.
inline constexpr std::string_view kOpeningComment = "added by hairpin for ";

/// A rule that is there, with such a comment.
struct FoundOpening {
  std::uint8_t family = 0;
  std::string table;
  std::string chain;
  std::uint64_t handle = 0;
  std::string comment;
};
Result<std::vector<FoundOpening>> list_openings();
Result<> remove(const FoundOpening& opening);

}  // namespace hairpin::nft
