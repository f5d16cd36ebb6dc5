// What fields are expected to be, in the words of complaints and of the manual page; and the way
// most of them are read.
#pragma once

#include <initializer_list>
#include <string_view>

#include "config/reader.h"

namespace hairpin::config {

inline constexpr std::string_view kText = "a text";
inline constexpr std::string_view kBool = "true or false";
inline constexpr std::string_view kDuration = "a duration such as \"5m\"";
inline constexpr std::string_view kPrefixes = "an address with a length, or a list of them";
inline constexpr std::string_view kSubnet = "an address, or one with a length";
inline constexpr std::string_view kMark = "a mark";
inline constexpr std::string_view kMethods = "\"default\" or \"drop\"";
inline constexpr std::string_view kOutboundTag = "the tag of an outbound";
inline constexpr std::string_view kDnsServerTag = "the tag of a DNS server";

/// Reads the field into a member, by the type of that member.
template <auto Member>
constexpr auto into = [](const Reader& reader, auto& out) { read(reader, out.*Member); };

/// Complains about fields of a rule that belong to another action than the rule's: they need action
/// `needed`.
inline void only_with(const Reader& rule, bool allowed, std::initializer_list<const char*> fields,
                      std::string_view needed) {
  if (allowed) return;
  for (const char* field : fields) {
    if (!rule.value().contains(field)) continue;
    rule.complain("\"" + std::string(field) + "\" needs action " + std::string(needed));
  }
}

}  // namespace hairpin::config
