// What has to be set up so that a host's traffic reaches an interface: routes, routing rules and an
// nftables table, as a value. Pure: the same policy and the same host give the same plan.
//
// How it works
//
// One routing table holds what shall be captured: the prefixes of `route_address` (or everything)
// without those of `route_exclude_address`. Its routes go to the interface, and vanish with it.
// Rules decide who asks it. N is the first priority; both families have the same ones:
//
//   N      what nftables has marked to be captured            on at N+7
//   N+1    any other mark: our own sockets, other tunnels      to the end
//   N+2    what comes from the interface itself                to the end
//   N+3    what other hosts send; or, by mark, everything      to the end
//   N+4    addresses that mean "here" (multicast, link-local)  to the end
//   N+5    users that are not to be captured                   to the end
//   N+6    sockets that are bound to an address: they answer what came from outside, or have
//          chosen their way                                    to the end
//          (sockets without one, and those bound to the interface's: on at N+7)
//   N+7    where `route_address` names prefixes, the table without its default route: they go
//          before the host's own
//   N+8    main without its default route: networks that the host knows
//   N+9    the table
//   N+10   the end: the host's own rules go on from here
//   32800  behind those, by mark only: the table. A host without a default route must not be told
//   so
//          before nftables have been asked.
//
// What other hosts send is judged by nftables alone (chains.h), which knows who began a connection,
// and marks what is to be captured. What this host sends is judged by the rules above, at no cost
// for its packets and with the interface's address for its source; or, where a condition is wanted
// that rules do not have, by nftables too: "by mark".
//
// A family of which the interface has no address is left alone; with strict_route the wall of
// chains.h refuses it, as all else that would go around the interface.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/config.h"
#include "nft/foreign.h"
#include "nft/ruleset.h"
#include "platform/routes.h"

namespace hairpin::host {

/// The input interface of what the host itself sends.
inline constexpr const char* kThisHost = "lo";

/// A listener for what auto_redirect sends to this host.
struct Redirection {
  Family family;
  std::uint16_t port;
};

struct Policy {
  std::string interface;                ///< The link's, of whatever kind.
  std::vector<std::string> companions;  ///< Other interfaces of the link.
  std::vector<IpAddr> addresses;        ///< Of the interface.
  std::vector<Mark> own_marks;          ///< Of our outbound sockets; none if they are elsewhere.
  std::vector<Redirection> redirections;
  config::AutoRoute wanted;
  std::vector<platform::Rule> link_rules = {};  ///< The link's own: only put back when they go.
  /// Somebody waits there for SYNs that are redirected; empty: they are accepted undecided.
  std::optional<nft::Queue> queue = {};
};

/// What depends on the host.
struct Snapshot {
  std::vector<Prefix> known;  ///< In main, but for default routes and those to our interface.
  std::map<std::string, std::uint64_t> groups;  ///< Control groups, by path: their inodes.
  std::vector<nft::FilterChain> filters;        ///< Of other people's firewalls.
  /// Interfaces that listen to router advertisements (RFC 4861) unless they forward.
  std::vector<std::string> advertised;
};

/// A kernel parameter (sysctl(8)), put back at the end.
struct Setting {
  std::string name;  ///< "net.ipv4.ip_forward"; dots in the names of interfaces are slashes.
  std::string value;

  friend bool operator==(const Setting&, const Setting&) = default;
};

struct Plan {
  std::string interface;
  bool bypasses = false;  ///< The tables have sets for what rules leave alone (chains.h).
  TableId table;
  std::vector<Prefix> routes;         ///< In `table`, to the interface.
  std::vector<platform::Rule> rules;  ///< In the order of their priorities, IPv4 first.
  std::vector<platform::Rule> link_rules;
  nft::Table capture;                           ///< Goes with us.
  std::optional<nft::Table> wall;               ///< Stays when we go, until somebody removes it.
  std::vector<nft::Opening> openings;           ///< In other people's chains.
  std::vector<Setting> settings;                ///< In this order.
  std::map<std::string, std::uint64_t> groups;  ///< That tables name, by path: their inodes.
};

/// Priorities that a plan uses, from its first on.
inline constexpr std::uint32_t kPriorities = 11;

Plan make_plan(const Policy& policy, const Snapshot& host);

/// Whether what this host itself sends is judged by nftables.
bool by_mark(const config::AutoRoute& wanted);

/// Routes and rules as commands of ip(8), one in each line.
std::string render_routing(const Plan& plan);
/// Tables as nft(8) takes them.
std::string render_tables(const Plan& plan);

/// Whether `route_address` has more than default routes: what it names goes before networks that
/// the host knows.
bool names_addresses(const config::AutoRoute& wanted);

/// Names of the tables of an interface.
std::string capture_name(const std::string& interface);
std::string wall_name(const std::string& interface);
/// The comment of an interface's rules in other people's chains.
std::string opening_comment(const std::string& interface);
/// What all names of walls begin with.
inline constexpr std::string_view kWallPrefix = "hairpin-wall-";

}  // namespace hairpin::host
