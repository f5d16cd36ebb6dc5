// An nftables table as a value: what we mean, apart from how it is printed (render.h) and how it
// reaches the kernel (apply.h). Only what our plans use is in it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/interval.h"
#include "base/strong.h"

namespace hairpin::nft {

enum class Compare : std::uint8_t { equal, not_equal };

struct MatchInputInterface {
  std::string name;
  Compare compare = Compare::equal;
};
struct MatchOutputInterface {
  std::string name;
  Compare compare = Compare::equal;
};
struct MatchFamily {
  Family family;
};
struct MatchProtocol {
  std::uint8_t protocol;  ///< IANA number: 6 TCP, 17 UDP.
  Compare compare = Compare::equal;
};
/// `mark` under `mask`: the other bits are somebody else's.
struct MatchMark {
  Mark mark;
  std::uint32_t mask = ~0U;
  Compare compare = Compare::equal;
};
/// The same of the connection's mark (conntrack).
struct MatchConnectionMark {
  Mark mark;
  std::uint32_t mask = ~0U;
  Compare compare = Compare::equal;
};
/// The packet goes from the one who was asked to the one who began.
struct MatchReply {};
/// Its first packet, or another one while nobody has answered.
struct MatchNew {};
/// The connection's destination was translated when it began: a port forward.
struct MatchTranslated {};
/// UDP, and `udp sport & mask == value`: spreads clients over several listeners without any state.
struct MatchUdpSourcePort {
  std::uint16_t mask;
  std::uint16_t value;
};

/// `udp sport SOURCE udp dport DESTINATION`.
struct MatchUdpPorts {
  std::uint16_t source;
  std::uint16_t destination;
};
struct MatchDestination {
  Prefix prefix;
};
/// The destination is in one of the table's sets.
struct MatchDestinationSet {
  Family family;
  std::string set;
  Compare compare = Compare::equal;
};
/// Destination address, protocol and port are in one of the table's sets, of destinations.
struct MatchEndpointSet {
  Family family;
  std::string set;
};
/// What the kernel's routing takes an address for (rtnetlink(7), RTN_*).
enum class AddressType : std::uint8_t { local = 2, broadcast = 3, anycast = 4, multicast = 5 };
struct MatchDestinationType {
  AddressType type;
};
/// The frame was for another machine, and is seen only because an interface bridges.
struct MatchNotForThisHost {};
using EtherAddress = std::array<std::uint8_t, 6>;
struct MatchEtherSource {
  EtherAddress address;
  Compare compare = Compare::equal;
};
/// The user who owns the sending socket.
struct MatchUser {
  UidRange users;
  Compare compare = Compare::equal;
};
/// The sending socket was made in a control group (version 2) or one below it.
struct MatchControlGroup {
  std::string path;    ///< Below the root of the hierarchy, no slash at either end.
  std::uint64_t id{};  ///< Inode of its directory.
  Compare compare = Compare::equal;
  /// How deep it is: 1 for a child of the root.
  unsigned level() const;
};
struct MatchIcmpType {
  Family family;  ///< ICMP or ICMPv6.
  std::uint8_t type;
};
/// A TCP packet that begins a connection, or answers that.
struct MatchSyn {
  Compare compare = Compare::equal;
};

struct Counter {};
/// One of the table's named counters: its value can be asked for (apply.h).
struct CountInto {
  std::string name;
};
/// Hands the packet to the transparent socket on `port`. Goes on to the next rule if there is none.
struct Tproxy {
  Family family;
  std::uint16_t port;
};
/// Changes the bits of `mask` and leaves the others.
struct SetMark {
  Mark mark;
  std::uint32_t mask = ~0U;
};
struct SetConnectionMark {
  Mark mark;
  std::uint32_t mask = ~0U;
};
/// Destination NAT to a port of this host. TCP only, in a chain of type nat.
struct Redirect {
  std::uint16_t port;
};
/// What puts a packet into a queue, of what a kernel may have.
enum class QueueKind : std::uint8_t {
  native,  ///< The expression "queue" (CONFIG_NFT_QUEUE).
  compat,  ///< xtables' target NFQUEUE (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_TARGET_NFQUEUE).
};
/// To whoever has opened the queues `first` to `first + count - 1`; which one depends on the
/// addresses. With nobody there, the packet goes on behind this chain.
struct Queue {
  std::uint16_t first = 0;
  std::uint16_t count = 1;
  QueueKind kind = QueueKind::native;
};
/// The sender's segments fit the route's MTU.
struct ClampSegments {};
/// ICMP(v6) errors, by the kernel's numbers for both families (NFT_REJECT_ICMPX_*); or RST, which
/// TCP alone has, and to which no rate limit applies.
enum class Refusal : std::uint8_t { no_route = 0, port = 1, host = 2, prohibited = 3, reset };
struct Reject {
  Refusal refusal = Refusal::prohibited;
};
/// On in a regular chain, and at its end past the rest of this one.
struct Goto {
  std::string chain;
};
struct Accept {};
struct Drop {};
struct Return {};

using Statement =
    std::variant<MatchInputInterface, MatchOutputInterface, MatchFamily, MatchProtocol, MatchMark,
                 MatchConnectionMark, MatchReply, MatchNew, MatchTranslated, MatchUdpSourcePort,
                 MatchUdpPorts, MatchDestination, MatchDestinationSet, MatchEndpointSet,
                 MatchDestinationType, MatchNotForThisHost, MatchEtherSource, MatchUser,
                 MatchControlGroup, MatchIcmpType, MatchSyn, Counter, CountInto, Tproxy, SetMark,
                 SetConnectionMark, Redirect, ClampSegments, Queue, Reject, Goto, Accept, Drop,
                 Return>;

struct Rule {
  std::vector<Statement> statements;
};

enum class Hook : std::uint8_t { prerouting, input, forward, output };

/// What a base chain may do besides judging: `route` asks routing again when a mark has changed,
/// `nat` sees the first packet of a connection only.
enum class ChainType : std::uint8_t { filter, route, nat };

struct Chain {
  std::string name;
  std::optional<Hook> hook = Hook::prerouting;  ///< Empty: a regular chain, for Goto.
  int priority = 0;                             ///< -150 is "mangle", 0 is "filter".
  std::vector<Rule> rules = {};
  ChainType type = ChainType::filter;
};

/// An element of a set of endpoints.
struct SetEndpoint {
  std::uint8_t protocol = 0;  ///< IANA number.
  Endpoint endpoint;

  friend auto operator<=>(const SetEndpoint&, const SetEndpoint&) = default;
};

/// What is asked in a time that hardly grows with the number of elements.
struct Set {
  enum class Key : std::uint8_t {
    addresses,  ///< Intervals of them.
    endpoints,  ///< Address, protocol and port. More come while it is in use: apply.h, add.
  };

  std::string name;
  Family family = Family::v4;
  std::vector<Interval> elements = {};  ///< As `merged` gives them. Of `family`, and of addresses.
  Key key = Key::addresses;
  std::vector<SetEndpoint> endpoints = {};  ///< Of `family`.
};

/// A table of family inet. With `owned` nobody but us can change it, and it vanishes with the
/// socket that made it (`flags owner`, Linux 5.12).
struct Table {
  std::string name;
  bool owned = true;
  std::vector<Chain> chains = {};
  std::vector<std::string> counters = {};  ///< Named ones.
  std::vector<Set> sets = {};
};

}  // namespace hairpin::nft
