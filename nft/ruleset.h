// An nftables table as a value: what we mean, apart from how it is printed (render.h) and how it
// reaches the kernel (apply.h). Only what our plans use is in it.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/strong.h"

namespace hairpin::nft {

enum class Compare : std::uint8_t { equal, not_equal };

struct MatchInputInterface {
  std::string name;
  Compare compare = Compare::equal;
};
struct MatchOutputInterface {
  std::string name;
};
struct MatchFamily {
  Family family;
};
struct MatchProtocol {
  std::uint8_t protocol;  ///< IANA number: 6 TCP, 17 UDP.
};
struct MatchMark {
  Mark mark;  ///< The whole value.
};
/// UDP, and `udp sport & mask == value`: spreads clients over several listeners without any state.
struct MatchUdpSourcePort {
  std::uint16_t mask;
  std::uint16_t value;
};

struct MatchDestination {
  Prefix prefix;
};
struct MatchIcmpType {
  Family family;  ///< ICMP or ICMPv6.
  std::uint8_t type;
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
struct SetMark {
  Mark mark;
};
/// ICMP(v6) "administratively prohibited" to the sender.
struct Reject {};
struct Accept {};
struct Drop {};
struct Return {};

using Statement =
    std::variant<MatchInputInterface, MatchOutputInterface, MatchFamily, MatchProtocol, MatchMark,
                 MatchUdpSourcePort, MatchDestination, MatchIcmpType, Counter, CountInto, Tproxy,
                 SetMark, Reject, Accept, Drop, Return>;

struct Rule {
  std::vector<Statement> statements;
};

enum class Hook : std::uint8_t { prerouting, input, output };

struct Chain {
  std::string name;
  Hook hook = Hook::prerouting;
  int priority = 0;  ///< -150 is "mangle", 0 is "filter".
  std::vector<Rule> rules;
};

/// A table of family inet. With `owned` nobody but us can change it, and it vanishes with the
/// socket that made it (`flags owner`, Linux 5.12).
struct Table {
  std::string name;
  bool owned = true;
  std::vector<Chain> chains;
  std::vector<std::string> counters = {};  ///< Named ones.
};

}  // namespace hairpin::nft
