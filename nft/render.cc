#include "nft/render.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/interval.h"

namespace hairpin::nft {

const char* name_of(ChainType type) {
  switch (type) {
    case ChainType::filter:
      return "filter";
    case ChainType::route:
      return "route";
    case ChainType::nat:
      return "nat";
  }
  return "";
}

namespace {

std::string hex(std::uint32_t value, int digits) {
  char text[16];
  const int size = std::snprintf(text, sizeof text, "0x%0*x", digits, value);
  return {text, static_cast<std::size_t>(size)};
}

/// As nft(8) names them.
struct IcmpType {
  Family family;
  std::uint8_t type;
  const char* name;
};
constexpr std::array<IcmpType, 9> kIcmpTypes{{{Family::v4, 3, "destination-unreachable"},
                                              {Family::v4, 8, "echo-request"},
                                              {Family::v6, 1, "destination-unreachable"},
                                              {Family::v6, 2, "packet-too-big"},
                                              {Family::v6, 128, "echo-request"},
                                              {Family::v6, 133, "nd-router-solicit"},
                                              {Family::v6, 134, "nd-router-advert"},
                                              {Family::v6, 135, "nd-neighbor-solicit"},
                                              {Family::v6, 136, "nd-neighbor-advert"}}};

const char* name_of(Hook hook) {
  switch (hook) {
    case Hook::prerouting:
      return "prerouting";
    case Hook::input:
      return "input";
    case Hook::forward:
      return "forward";
    case Hook::output:
      return "output";
  }
  return "";
}

const char* name_of(AddressType type) {
  switch (type) {
    case AddressType::local:
      return "local";
    case AddressType::broadcast:
      return "broadcast";
    case AddressType::anycast:
      return "anycast";
    case AddressType::multicast:
      return "multicast";
  }
  return "";
}

const char* name_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::no_route:
      return "icmpx no-route";
    case Refusal::port:
      return "icmpx port-unreachable";
    case Refusal::host:
      return "icmpx host-unreachable";
    case Refusal::prohibited:
      return "icmpx admin-prohibited";
    case Refusal::reset:
      return "tcp reset";
  }
  return "";
}

std::string quoted(const std::string& text) {
  return '"' + text + '"';
}

const char* negation(Compare compare) {
  return compare == Compare::not_equal ? "!= " : "";
}

/// "meta mark & 0x0000ffff == 0x00002023", for either mark.
std::string mark_match(const char* key, Mark mark, std::uint32_t mask, Compare compare) {
  std::string text = key;
  if (mask == ~0U) return text + " " + negation(compare) + hex(mark.value(), 8);
  text += " & " + hex(mask, 8);
  return text + (compare == Compare::equal ? " == " : " != ") + hex(mark.value(), 8);
}

/// What the kernel holds is "bits kept, bits flipped"; nft(8) prints bits that are set among those
/// that are kept, too.
std::string mark_set(const std::string& key, Mark mark, std::uint32_t mask) {
  if (mask == ~0U) return key + " set " + hex(mark.value(), 8);
  const std::string kept = key + " set " + key + " & " + hex(~mask | mark.value(), 8);
  return mark ? kept + " | " + hex(mark.value(), 8) : kept;
}

struct Printer {
  std::string operator()(const MatchInputInterface& match) const {
    return std::string("iifname ") + negation(match.compare) + quoted(match.name);
  }
  std::string operator()(const MatchOutputInterface& match) const {
    return std::string("oifname ") + negation(match.compare) + quoted(match.name);
  }
  std::string operator()(const MatchFamily& match) const {
    return match.family == Family::v4 ? "meta nfproto ipv4" : "meta nfproto ipv6";
  }
  std::string operator()(const MatchProtocol& match) const {
    const std::string key = std::string("meta l4proto ") + negation(match.compare);
    if (match.protocol == IPPROTO_TCP) return key + "tcp";
    if (match.protocol == IPPROTO_UDP) return key + "udp";
    if (match.protocol == IPPROTO_ICMP) return key + "icmp";
    if (match.protocol == IPPROTO_ICMPV6) return key + "ipv6-icmp";
    return key + std::to_string(match.protocol);
  }
  std::string operator()(const MatchMark& match) const {
    return mark_match("meta mark", match.mark, match.mask, match.compare);
  }
  std::string operator()(const MatchConnectionMark& match) const {
    return mark_match("ct mark", match.mark, match.mask, match.compare);
  }
  std::string operator()(const MatchReply&) const { return "ct direction reply"; }
  std::string operator()(const MatchNew&) const { return "ct state new"; }
  std::string operator()(const MatchTranslated&) const { return "ct status dnat"; }
  std::string operator()(const MatchUdpSourcePort& match) const {
    return "udp sport & " + std::to_string(match.mask) + " == " + std::to_string(match.value);
  }
  std::string operator()(const MatchUdpPorts& match) const {
    return "udp sport " + std::to_string(match.source) + " udp dport " +
           std::to_string(match.destination);
  }
  std::string operator()(const MatchDestination& match) const {
    const IpAddr& address = match.prefix.address;
    const bool host = match.prefix.length == address.bits();
    return std::string(address.is_v4() ? "ip" : "ip6") + " daddr " +
           (host ? address.text() : match.prefix.text());
  }
  std::string operator()(const MatchDestinationSet& match) const {
    return std::string(match.family == Family::v4 ? "ip" : "ip6") + " daddr " +
           negation(match.compare) + "@" + match.set;
  }
  std::string operator()(const MatchEndpointSet& match) const {
    return std::string(match.family == Family::v4 ? "ip" : "ip6") +
           " daddr . meta l4proto . th dport @" + match.set;
  }
  std::string operator()(const MatchDestinationType& match) const {
    return std::string("fib daddr type ") + name_of(match.type);
  }
  std::string operator()(const MatchNotForThisHost&) const { return "meta pkttype other"; }
  std::string operator()(const MatchEtherSource& match) const {
    std::string text = std::string("ether saddr ") + negation(match.compare);
    for (std::size_t i = 0; i < match.address.size(); ++i) {
      char byte[8];
      std::snprintf(byte, sizeof byte, i == 0 ? "%02x" : ":%02x", match.address[i]);
      text += byte;
    }
    return text;
  }
  std::string operator()(const MatchUser& match) const {
    const auto& [first, last] = match.users;
    return std::string("meta skuid ") + negation(match.compare) + std::to_string(first) +
           (first == last ? "" : "-" + std::to_string(last));
  }
  std::string operator()(const MatchControlGroup& match) const {
    return "socket cgroupv2 level " + std::to_string(match.level()) + " " +
           negation(match.compare) + quoted(match.path);
  }
  std::string operator()(const MatchIcmpType& match) const {
    const auto type = std::ranges::find_if(kIcmpTypes, [&](const IcmpType& known) {
      return known.family == match.family && known.type == match.type;
    });
    return std::string(match.family == Family::v4 ? "icmp" : "icmpv6") + " type " +
           (type != kIcmpTypes.end() ? type->name : std::to_string(match.type));
  }
  std::string operator()(const MatchSyn& match) const {
    return std::string("tcp flags ") + negation(match.compare) + "syn / syn,rst";
  }
  std::string operator()(const CountInto& counter) const {
    return "counter name " + quoted(counter.name);
  }
  std::string operator()(const Counter&) const { return "counter packets 0 bytes 0"; }
  std::string operator()(const Tproxy& tproxy) const {
    return std::string("tproxy ") + (tproxy.family == Family::v4 ? "ip" : "ip6") +
           " to :" + std::to_string(tproxy.port);
  }
  std::string operator()(const SetMark& set) const {
    return mark_set("meta mark", set.mark, set.mask);
  }
  std::string operator()(const SetConnectionMark& set) const {
    return mark_set("ct mark", set.mark, set.mask);
  }
  std::string operator()(const Redirect& redirect) const {
    return "redirect to :" + std::to_string(redirect.port);
  }
  std::string operator()(const ClampSegments&) const { return "tcp option maxseg size set rt mtu"; }
  std::string operator()(const Queue& queue) const {
    const int last = queue.first + queue.count - 1;
    return "queue flags bypass to " + std::to_string(queue.first) +
           (queue.count == 1 ? "" : "-" + std::to_string(last));
  }
  std::string operator()(const Reject& reject) const {
    return std::string("reject with ") + name_of(reject.refusal);
  }
  std::string operator()(const Goto& on) const { return "goto " + on.chain; }
  std::string operator()(const Accept&) const { return "accept"; }
  std::string operator()(const Drop&) const { return "drop"; }
  std::string operator()(const Return&) const { return "return"; }
};

std::string priority_text(int priority, Hook hook) {
  if (priority == 0) return "filter";
  if (priority == -150) return "mangle";
  if (priority == -99 && hook == Hook::prerouting) return "dstnat + 1";
  return std::to_string(priority);
}

std::string head_of(const Chain& chain) {
  if (!chain.hook) return "";
  return std::string("\t\ttype ") + name_of(chain.type) + " hook " + name_of(*chain.hook) +
         " priority " + priority_text(chain.priority, *chain.hook) + "; policy accept;\n";
}

std::string render(const Set& set) {
  std::string text = "\tset " + set.name + " {\n\t\ttype ";
  text += set.family == Family::v4 ? "ipv4_addr" : "ipv6_addr";
  const bool endpoints = set.key == Set::Key::endpoints;
  text += endpoints ? " . inet_proto . inet_service\n" : "\n\t\tflags interval\n";
  std::string elements;
  for (const Interval& interval : set.elements) {
    elements += (elements.empty() ? "" : ",\n\t\t\t     ") + interval.text();
  }
  if (!elements.empty()) text += "\t\telements = { " + elements + " }\n";
  return text + "\t}\n";
}

std::string render(const Chain& chain) {
  std::string text = "\tchain " + chain.name + " {\n" + head_of(chain);
  for (const Rule& rule : chain.rules) {
    text += "\t\t";
    for (std::size_t i = 0; i < rule.statements.size(); ++i) {
      if (i != 0) text += " ";
      text += std::visit(Printer{}, rule.statements[i]);
    }
    text += "\n";
  }
  return text + "\t}\n";
}

}  // namespace

std::string render(const Statement& statement) {
  return std::visit(Printer{}, statement);
}

std::string render(const Table& table) {
  std::string text = "table inet " + table.name + " {\n";
  if (table.owned) text += "\tflags owner\n\n";
  bool first = true;
  for (const std::string& counter : table.counters) {
    if (!first) text += "\n";
    first = false;
    text += "\tcounter " + counter + " {\n\t\tpackets 0 bytes 0\n\t}\n";
  }
  for (const Set& set : table.sets) {
    if (!first) text += "\n";
    first = false;
    text += render(set);
  }
  // Regular chains first, as they are loaded: rules may go to them.
  for (const bool regular : {true, false}) {
    for (const Chain& chain : table.chains) {
      if (chain.hook.has_value() == regular) continue;
      if (!first) text += "\n";
      first = false;
      text += render(chain);
    }
  }
  return text + "}\n";
}

}  // namespace hairpin::nft
