// What has to be routed so that a host's traffic reaches an interface: routes and routing rules, as
// a value. Pure: the same policy gives the same plan, on whatever host it is asked.
//
// How it works
//
// One table holds what shall be captured: the prefixes of `route_address` (or everything) without
// those of `route_exclude_address`. Its routes go to the interface, and vanish with it. Rules
// decide who asks it. N is the first priority; each family has the same ones:
//
//   N      our own marks                                     to the end
//   N+1    users that are not to be captured                 to the end
//   N+2    interfaces that are, or are not, to be captured   on, or to the end
//   N+3    whatever else, where some interfaces are named    to the end
//   N+4    what comes from the interface itself              to the end
//   N+5    the table without its default route               named prefixes go before the host's
//   own N+6    main without its default route                    networks that the host knows N+7
//   sockets bound to an address of the interface      the table N+8    sockets that are not bound
//   to an address          the table N+9    sockets that are: they answer what came from
//          outside, or have chosen their way                 to the end
//   N+10   everything that is forwarded                      the table
//   N+11   the end: the host's own rules go on from here
//
// A family of which the interface has no address is left alone, or, with strict_route, ends as
// unreachable wherever the table would have been asked. Then there is no step N+9 either: IPv6
// takes "unreachable" for an answer only when it has asked with a source (ip6_dst_lookup_tail), and
// a socket that was not bound would look as if it were. So answers to what came from outside by
// that family, from beyond the networks that the host knows, end too.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "platform/routes.h"

namespace hairpin::host {

struct Policy {
  std::string interface;          ///< The link's, of whatever kind.
  std::vector<IpAddr> addresses;  ///< Of the interface.
  std::vector<Mark> own_marks;    ///< Of our outbound sockets; none if they are elsewhere.
  config::AutoRoute wanted;
};

struct Plan {
  std::string interface;
  TableId table;
  std::vector<Prefix> routes;         ///< In `table`, to the interface.
  std::vector<platform::Rule> rules;  ///< In the order of their priorities, IPv4 first.
};

/// Priorities that a plan uses, from its first on.
inline constexpr std::uint32_t kPriorities = 12;

Plan make_plan(const Policy& policy);

/// The plan as commands of ip(8), one in each line.
std::string render(const Plan& plan);

}  // namespace hairpin::host
