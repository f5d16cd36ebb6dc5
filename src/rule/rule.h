// Conditions on flows and on questions for names, as values: what rules of a configuration and
// rule-sets consist of. Names and meanings are sing-box's ("Route Rule", "Headless Rule").
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/interval.h"

namespace hairpin::rule {

enum class Network : std::uint8_t { tcp, udp };
inline const char* name(Network network) {
  return network == Network::tcp ? "tcp" : "udp";
}

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  friend bool operator==(const PortRange&, const PortRange&) = default;
};

/// "1000:2000", ":3000" or "4000:".
std::optional<PortRange> parse_port_range(std::string_view text);
std::string text_of(const PortRange& range);

using MacAddress = std::array<std::uint8_t, 6>;

/// A condition on something that this system cannot know ("wifi_ssid", "package_name", …). It is
/// kept to be written again, and never holds.
struct Foreign {
  std::string field;
  std::vector<std::string> values;  ///< As the source format has them; empty: true.

  friend bool operator==(const Foreign&, const Foreign&) = default;
};

/// What of a flow, and what it has to be. Values of one member are alternatives. So are the members
/// of one group:
///
///   destination address   domain, domain_suffix, domain_keyword, domain_regex, adguard_domain,
///                         ip_cidr, ip_is_private
///   source address        source_ip_cidr, source_ip_is_private
///   destination port      port
///   source port           source_port
///
/// Every group, and every other member, that is not empty must hold. Rule-sets are not a member but
/// an extension: one rule of one of them must hold, and what it says of a group is as if it were
/// said here.
struct Conditions {
  std::vector<std::string> inbound;  ///< Tags.
  std::optional<Family> ip_version;
  std::vector<Network> network;
  std::vector<std::string> protocol;  ///< That sniffing tells.
  std::vector<std::uint16_t> query_type;
  std::vector<std::string> domain;
  std::vector<std::string> domain_suffix;
  std::vector<std::string> domain_keyword;
  std::vector<std::string> domain_regex;    ///< RE2's syntax.
  std::vector<std::string> adguard_domain;  ///< Lines of a list of AdGuard's.
  std::vector<Interval> ip_cidr;
  bool ip_is_private = false;
  std::vector<Interval> source_ip_cidr;
  bool source_ip_is_private = false;
  std::vector<PortRange> port;  ///< `port` and `port_range`.
  std::vector<PortRange> source_port;
  std::vector<std::string> process_name;
  std::vector<std::string> process_path;
  std::vector<std::string> process_path_regex;
  std::vector<std::string> user;
  std::vector<std::uint32_t> user_id;
  std::vector<MacAddress> source_mac;
  std::vector<std::string> rule_set;           ///< Tags.
  bool rule_set_ip_cidr_match_source = false;  ///< ip_cidr of rule-sets is of the source.
  std::vector<Foreign> foreign;

  friend bool operator==(const Conditions&, const Conditions&) = default;
};

/// One rule: conditions, or several rules of which all or any must hold.
struct Rule {
  enum class Kind : std::uint8_t { conditions, all, any };

  Kind kind = Kind::conditions;
  Conditions conditions;    ///< Of Kind::conditions.
  std::vector<Rule> rules;  ///< Of the others.
  bool invert = false;

  friend bool operator==(const Rule&, const Rule&) = default;
};

/// Deeper ones are refused by all who read rules.
inline constexpr unsigned kMaxDepth = 32;

/// The rules of a rule-set: alternatives.
struct RuleSet {
  std::uint8_t version = 0;  ///< Of the file's format.
  std::vector<Rule> rules;

  friend bool operator==(const RuleSet&, const RuleSet&) = default;
};
inline constexpr std::uint8_t kFirstVersion = 1;
inline constexpr std::uint8_t kLastVersion = 5;

/// Whether any condition is set.
bool is_empty(const Conditions& conditions);

/// All addresses that `ip_cidr` of any rule names, wherever it stands in it.
std::vector<Interval> addresses_of(const RuleSet& set);

}  // namespace hairpin::rule
