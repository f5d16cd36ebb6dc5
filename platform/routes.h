// Kernel routes and routing-policy rules. Everything added here carries our protocol number, so
// that it can be told from everybody else's, now and after a crash.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// rtm_protocol and FRA_PROTOCOL of what is ours: 'H'. Unassigned in /etc/iproute2/rt_protos.
inline constexpr std::uint8_t kRouteProtocol = 72;

struct Route {
  Prefix destination;
  IfIndex device;
  TableId table;
  bool local = false;  ///< RTN_LOCAL: packets for `destination` are delivered to this host.
  unsigned mtu = 0;    ///< Bytes; 0: the device's.
  std::string congestion = {};  ///< Of TCP sockets that use the route; empty: the system's.
};

enum class RuleAction : std::uint8_t {
  lookup,       ///< In `table`; goes on to the next rule when nothing is found there.
  go_to,        ///< On with the first rule of priority `target`, which is a later one.
  unreachable,  ///< The sender is told so.
  nothing,      ///< Goes on: somewhere for `go_to` to arrive.
};

/// What happens to packets that match all given conditions (rules of rtnetlink(7), ip-rule(8)).
struct Rule {
  Family family = Family::v4;
  RulePriority priority = {};
  bool negated = false;               ///< Matches whenever the conditions do not, all together.
  std::optional<Mark> mark = {};      ///< Mark{0}: not marked.
  std::uint32_t mark_mask = ~0U;      ///< Of the packet's mark, before it is compared.
  std::string input_interface = {};   ///< Empty matches any; "lo" is what this host sends.
  std::optional<Prefix> source = {};  ///< 0.0.0.0/32: a socket that is not bound to an address.
  std::optional<Prefix> destination = {};
  std::optional<UidRange> users = {};  ///< Of the sending socket. Forwarded packets are root's.
  std::optional<std::uint16_t> to_port = {};
  RuleAction action = RuleAction::lookup;
  TableId table = {};            ///< Of `lookup`.
  bool without_default = false;  ///< A default route found in `table` does not count.
  RulePriority target = {};      ///< Of `go_to`.

  friend bool operator==(const Rule&, const Rule&) = default;
};

/// The rule in the words of ip-rule(8), without "ip rule add".
std::string text(const Rule& rule);

/// `main`, where the administrator's routes are.
inline constexpr TableId kMainTable{254};
/// `local`, by which the kernel tells which addresses are its own.
inline constexpr TableId kLocalTable{255};

Result<> add_route(const Route& route);
Result<> add_rule(const Rule& rule);

/// Removes the kernel's first rule, which sends every lookup through `local`. For a namespace of
/// our own.
Result<> remove_local_rule(Family family);

/// A rule that is there. What others have made may say more than `Rule` can.
struct ListedRule {
  Rule rule;
  std::uint8_t protocol =
      0;  ///< Who made it: kRouteProtocol, or a number of /etc/iproute2/rt_protos.
};

/// All rules of both families.
Result<std::vector<ListedRule>> list_rules();
/// Those with our protocol number.
Result<std::vector<Rule>> own_rules();

/// A unicast route that is there.
struct FoundRoute {
  Prefix destination;
  TableId table;
  IfIndex device;  ///< 0: of several paths.
  std::optional<IpAddr> gateway = {};
  std::uint32_t metric = 0;
  std::uint8_t protocol = 0;  ///< Who made it.
};

/// All unicast routes of both families in `table`.
Result<std::vector<FoundRoute>> list_routes(TableId table);

}  // namespace hairpin::platform
