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
  unsigned mtu = 0;    ///< Bytes; 0: the device's.
  std::string congestion = {};  ///< Of TCP sockets that use the route; empty: the system's.
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
/// `local`, by which the kernel tells which addresses are its own.
inline constexpr TableId kLocalTable{255};

Result<> add_route(const Route& route);
Result<> add_rule(const Rule& rule);

/// Removes the kernel's first rule, which sends every lookup through `local`. For a namespace of
/// our own.
Result<> remove_local_rule(Family family);

/// Rules with our protocol number, of both families.
Result<std::vector<Rule>> own_rules();

}  // namespace hairpin::platform
