#include "nft/render.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace hairpin::nft {

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
constexpr std::array<IcmpType, 5> kIcmpTypes{{{Family::v4, 3, "destination-unreachable"},
                                              {Family::v4, 8, "echo-request"},
                                              {Family::v6, 1, "destination-unreachable"},
                                              {Family::v6, 2, "packet-too-big"},
                                              {Family::v6, 128, "echo-request"}}};

const char* name_of(Hook hook) {
  switch (hook) {
    case Hook::prerouting:
      return "prerouting";
    case Hook::input:
      return "input";
    case Hook::output:
      return "output";
  }
  return "";
}

struct Printer {
  std::string operator()(const MatchInputInterface& match) const {
    const std::string negation = match.compare == Compare::not_equal ? "!= " : "";
    return "iifname " + negation + '"' + match.name + '"';
  }
  std::string operator()(const MatchOutputInterface& match) const {
    return "oifname \"" + match.name + '"';
  }
  std::string operator()(const MatchFamily& match) const {
    return match.family == Family::v4 ? "meta nfproto ipv4" : "meta nfproto ipv6";
  }
  std::string operator()(const MatchProtocol& match) const {
    if (match.protocol == IPPROTO_TCP) return "meta l4proto tcp";
    if (match.protocol == IPPROTO_UDP) return "meta l4proto udp";
    if (match.protocol == IPPROTO_ICMP) return "meta l4proto icmp";
    if (match.protocol == IPPROTO_ICMPV6) return "meta l4proto ipv6-icmp";
    return "meta l4proto " + std::to_string(match.protocol);
  }
  std::string operator()(const MatchMark& match) const {
    return "meta mark " + hex(match.mark.value(), 8);
  }
  std::string operator()(const MatchUdpSourcePort& match) const {
    return "udp sport & " + std::to_string(match.mask) + " == " + std::to_string(match.value);
  }
  std::string operator()(const MatchDestination& match) const {
    const IpAddr& address = match.prefix.address;
    const bool host = match.prefix.length == address.bits();
    return std::string(address.is_v4() ? "ip" : "ip6") + " daddr " +
           (host ? address.text() : match.prefix.text());
  }
  std::string operator()(const MatchIcmpType& match) const {
    const auto type = std::ranges::find_if(kIcmpTypes, [&](const IcmpType& known) {
      return known.family == match.family && known.type == match.type;
    });
    return std::string(match.family == Family::v4 ? "icmp" : "icmpv6") + " type " +
           (type != kIcmpTypes.end() ? type->name : std::to_string(match.type));
  }
  std::string operator()(const CountInto& counter) const {
    return "counter name \"" + counter.name + '"';
  }
  std::string operator()(const Counter&) const { return "counter packets 0 bytes 0"; }
  std::string operator()(const Tproxy& tproxy) const {
    return std::string("tproxy ") + (tproxy.family == Family::v4 ? "ip" : "ip6") +
           " to :" + std::to_string(tproxy.port);
  }
  std::string operator()(const SetMark& set) const {
    return "meta mark set " + hex(set.mark.value(), 8);
  }
  std::string operator()(const Reject&) const { return "reject with icmpx admin-prohibited"; }
  std::string operator()(const Accept&) const { return "accept"; }
  std::string operator()(const Drop&) const { return "drop"; }
  std::string operator()(const Return&) const { return "return"; }
};

std::string priority_text(int priority) {
  if (priority == 0) return "filter";
  if (priority == -150) return "mangle";
  return std::to_string(priority);
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
  for (const Chain& chain : table.chains) {
    if (!first) text += "\n";
    first = false;
    text += "\tchain " + chain.name + " {\n";
    text += std::string("\t\ttype filter hook ") + name_of(chain.hook) + " priority " +
            priority_text(chain.priority) + "; policy accept;\n";
    for (const Rule& rule : chain.rules) {
      text += "\t\t";
      for (std::size_t i = 0; i < rule.statements.size(); ++i) {
        if (i != 0) text += " ";
        text += render(rule.statements[i]);
      }
      text += "\n";
    }
    text += "\t}\n";
  }
  return text + "}\n";
}

}  // namespace hairpin::nft
