// What is to be captured, by what a configuration wishes: users, control groups, interfaces,
// hardware addresses and addresses, as rules of nftables. Pure.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "host/plan.h"

namespace hairpin::host {

inline constexpr std::array<Family, 2> kFamilies{Family::v4, Family::v6};

/// Behind the names of sets that have one of each family.
std::string suffix(Family family);
/// Two sets, "NAME4" and "NAME6".
std::vector<nft::Set> address_sets(const std::string& name, const std::vector<Interval>& intervals);

/// What is judged: this host's own connections, or those of others.
enum class Place : std::uint8_t { local, forwarded };

/// Rules that end in `leave` for whatever is not to be captured, and in `keep` for the rest.
/// They ask the sets of `add_wanted_sets`.
std::vector<nft::Rule> judge_by_wishes(const Policy& policy, const Snapshot& host, Place place,
                                       const nft::Statement& leave, const nft::Statement& keep);

/// `prefixes`: what is to be captured, of both families.
void add_wanted_sets(nft::Table& table, const config::AutoRoute& wanted,
                     const std::vector<Prefix>& prefixes);

}  // namespace hairpin::host
