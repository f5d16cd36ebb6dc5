// Kernel routes and routing-policy rules. Everything added here carries our protocol number, so
// that it can be told from everybody else's, now and after a crash.
#pragma once

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
};

/// Packets that match all given conditions look up `table`.
struct Rule {
  Family family = Family::v4;
  RulePriority priority;
  Mark mark;                    ///< Whole value; 0 matches any.
  std::string input_interface;  ///< Empty matches any.
  TableId table;

  friend bool operator==(const Rule&, const Rule&) = default;
};

/// `main`, where the administrator's routes are.
inline constexpr TableId kMainTable{254};

Result<> add_route(const Route& route);
Result<> add_rule(const Rule& rule);
Result<> delete_rule(const Rule& rule);

/// Rules with our protocol number, of both families.
Result<std::vector<Rule>> own_rules();

}  // namespace hairpin::platform
