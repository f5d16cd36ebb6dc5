#include "platform/routes.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "platform/netlink.h"
#include "platform/remover.h"

namespace hairpin::platform {

namespace {

std::uint8_t address_family(Family family) {
  return family == Family::v4 ? AF_INET : AF_INET6;
}

std::string describe(const Rule& rule) {
  return "rule " + text(rule) + (rule.family == Family::v4 ? " (IPv4)" : " (IPv6)");
}

void fill_action(NetlinkMessage& message, const Rule& rule) {
  switch (rule.action) {
    case RuleAction::lookup:
      message.put_u32(FRA_TABLE, rule.table.value());
      if (rule.without_default) message.put_u32(FRA_SUPPRESS_PREFIXLEN, 0);
      break;
    case RuleAction::go_to:
      message.put_u32(FRA_GOTO, rule.target.value());
      break;
    case RuleAction::unreachable:
    case RuleAction::nothing:
      break;
  }
}

std::uint8_t action_number(RuleAction action) {
  switch (action) {
    case RuleAction::lookup:
      return FR_ACT_TO_TBL;
    case RuleAction::go_to:
      return FR_ACT_GOTO;
    case RuleAction::unreachable:
      return FR_ACT_UNREACHABLE;
    case RuleAction::nothing:
      return FR_ACT_NOP;
  }
  return FR_ACT_UNSPEC;
}

void fill(NetlinkMessage& message, const Rule& rule) {
  auto& header = message.header<fib_rule_hdr>();
  header.family = address_family(rule.family);
  header.action = action_number(rule.action);
  if (rule.negated) header.flags |= FIB_RULE_INVERT;
  if (rule.source) header.src_len = static_cast<std::uint8_t>(rule.source->length);
  if (rule.destination) header.dst_len = static_cast<std::uint8_t>(rule.destination->length);
  message.put_u32(FRA_PRIORITY, rule.priority.value());
  message.put_u8(FRA_PROTOCOL, kRouteProtocol);
  fill_action(message, rule);
  if (rule.source && rule.source->length != 0) message.put(FRA_SRC, rule.source->address);
  if (rule.destination && rule.destination->length != 0) {
    message.put(FRA_DST, rule.destination->address);
  }
  if (rule.mark) {
    message.put_u32(FRA_FWMARK, rule.mark->value());
    message.put_u32(FRA_FWMASK, rule.mark_mask);
  }
  if (!rule.input_interface.empty()) message.put_text(FRA_IIFNAME, rule.input_interface);
  if (rule.users) {
    const fib_rule_uid_range range{rule.users->first, rule.users->last};
    message.put_bytes(FRA_UID_RANGE, &range, sizeof range);
  }
  if (rule.to_port) {
    const fib_rule_port_range range{*rule.to_port, *rule.to_port};
    message.put_bytes(FRA_DPORT_RANGE, &range, sizeof range);
  }
}

void fill(NetlinkMessage& message, const Route& route) {
  auto& header = message.header<rtmsg>();
  header.rtm_family = address_family(route.destination.address.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
  header.rtm_table = RT_TABLE_UNSPEC;  // does not fit in eight bits: RTA_TABLE has it
  header.rtm_protocol = kRouteProtocol;
  header.rtm_scope = route.local ? RT_SCOPE_HOST : RT_SCOPE_LINK;
  header.rtm_type = route.local ? RTN_LOCAL : RTN_UNICAST;
  if (route.destination.length != 0) message.put(RTA_DST, route.destination.address);
  message.put_u32(RTA_OIF, static_cast<std::uint32_t>(route.device.value()));
  message.put_u32(RTA_TABLE, route.table.value());
  if (route.mtu != 0 || !route.congestion.empty()) {
    nlattr* metrics = message.begin_nest(RTA_METRICS);
    if (route.mtu != 0) message.put_u32(RTAX_MTU, route.mtu);
    if (!route.congestion.empty()) message.put_text(RTAX_CC_ALGO, route.congestion);
    message.end_nest(metrics);
  }
}

std::string describe(const Route& route) {
  return "route " + route.destination.text() + " in table " + std::to_string(route.table.value());
}

template <class T>
T value_of(const nlattr& attribute) {
  T value{};
  std::memcpy(&value, mnl_attr_get_payload(&attribute), sizeof value);
  return value;
}

Prefix prefix_of(const nlattr& attribute, unsigned length) {
  const auto* bytes = static_cast<const std::byte*>(mnl_attr_get_payload(&attribute));
  return {IpAddr::from_wire({bytes, mnl_attr_get_payload_len(&attribute)}), length};
}

RuleAction action_of(const fib_rule_hdr& header) {
  switch (header.action) {
    case FR_ACT_GOTO:
      return RuleAction::go_to;
    case FR_ACT_UNREACHABLE:
      return RuleAction::unreachable;
    case FR_ACT_NOP:
      return RuleAction::nothing;
    default:
      return RuleAction::lookup;
  }
}

ListedRule read_rule(const nlmsghdr& answer, Family family) {
  const auto& header = *static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(&answer));
  ListedRule listed;
  Rule& rule = listed.rule;
  rule.family = family;
  rule.negated = (header.flags & FIB_RULE_INVERT) != 0;
  rule.action = action_of(header);
  for_each_attribute(answer, sizeof(fib_rule_hdr), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case FRA_PROTOCOL:
        listed.protocol = mnl_attr_get_u8(&attribute);
        break;
      case FRA_PRIORITY:
        rule.priority = RulePriority{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_TABLE:
        if (rule.action == RuleAction::lookup) rule.table = TableId{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_SUPPRESS_PREFIXLEN:
        rule.without_default = mnl_attr_get_u32(&attribute) == 0;
        break;
      case FRA_GOTO:
        rule.target = RulePriority{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_SRC:
        rule.source = prefix_of(attribute, header.src_len);
        break;
      case FRA_DST:
        rule.destination = prefix_of(attribute, header.dst_len);
        break;
      case FRA_FWMARK:
        rule.mark = Mark{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_FWMASK:
        rule.mark_mask = mnl_attr_get_u32(&attribute);
        if (!rule.mark) rule.mark = Mark{};  // 0 is not told
        break;
      case FRA_IIFNAME:
        rule.input_interface = mnl_attr_get_str(&attribute);
        break;
      case FRA_UID_RANGE: {
        const auto range = value_of<fib_rule_uid_range>(attribute);
        rule.users = UidRange{range.start, range.end};
        break;
      }
      case FRA_DPORT_RANGE:
        rule.to_port = value_of<fib_rule_port_range>(attribute).start;
        break;
      default:
        break;
    }
  });
  return listed;
}

std::optional<FoundRoute> read_route(const nlmsghdr& answer) {
  const auto& header = *static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&answer));
  if (header.rtm_type != RTN_UNICAST || (header.rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  FoundRoute route;
  route.destination = everything(header.rtm_family == AF_INET ? Family::v4 : Family::v6);
  route.table = TableId{header.rtm_table};
  route.protocol = header.rtm_protocol;
  for_each_attribute(answer, sizeof(rtmsg), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case RTA_TABLE:
        route.table = TableId{mnl_attr_get_u32(&attribute)};
        break;
      case RTA_DST:
        route.destination = prefix_of(attribute, header.rtm_dst_len);
        break;
      case RTA_OIF:
        route.device = IfIndex{static_cast<int>(mnl_attr_get_u32(&attribute))};
        break;
      case RTA_GATEWAY:
        route.gateway = prefix_of(attribute, 0).address;
        break;
      case RTA_PRIORITY:
        route.metric = mnl_attr_get_u32(&attribute);
        break;
      default:
        break;
    }
  });
  return route;
}

}  // namespace

Result<> add_route(const Route& route) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  fill(message, route);
  return netlink->request(message, "add " + describe(route));
}

Result<> add_rule(const Rule& rule) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL);
  fill(message, rule);
  return netlink->request(message, "add " + describe(rule));
}

Result<> remove_local_rule(Family family) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_DELRULE, 0);
  auto& header = message.header<fib_rule_hdr>();
  header.family = address_family(family);
  header.action = FR_ACT_TO_TBL;
  header.table = RT_TABLE_LOCAL;
  message.put_u32(FRA_PRIORITY, 0);
  return netlink->request(message, "remove the rule of table local");
}

Remover::Remover(Netlink netlink) : netlink_(std::make_unique<Netlink>(std::move(netlink))) {}
Remover::Remover(Remover&&) noexcept = default;
Remover& Remover::operator=(Remover&&) noexcept = default;
Remover::~Remover() = default;

Result<Remover> Remover::open() {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  return Remover(std::move(*netlink));
}

Result<> Remover::remove(const Rule& rule) {
  NetlinkMessage message(RTM_DELRULE, 0);
  fill(message, rule);
  auto removed = netlink_->request(message, "delete " + describe(rule));
  if (!removed && removed.error().code == ENOENT) return {};
  return removed;
}

Result<> Remover::remove(const Route& route) {
  NetlinkMessage message(RTM_DELROUTE, 0);
  fill(message, route);
  auto removed = netlink_->request(message, "delete " + describe(route));
  if (!removed && removed.error().code == ESRCH) return {};
  return removed;
}

Result<> Remover::remove(IfIndex device) {
  NetlinkMessage message(RTM_DELLINK, 0);
  message.header<ifinfomsg>().ifi_index = device.value();
  auto removed = netlink_->request(message, "delete an interface");
  if (!removed && removed.error().code == ENODEV) return {};
  return removed;
}

namespace {

/// Lists what `request` asks for, of both families. A list that changed while it was read is
/// incomplete: it is asked for again.
template <class T, class Request, class Read>
Result<std::vector<T>> list(const char* what, Request request, Read read) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  constexpr int kAttempts = 20;
  std::vector<T> all;
  for (const Family family : {Family::v4, Family::v6}) {
    const auto own = static_cast<std::ptrdiff_t>(all.size());
    Result<> dumped;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      all.erase(all.begin() + own, all.end());
      NetlinkMessage message(request.type, 0);
      request.fill(message, address_family(family));
      dumped =
          netlink->dump(message, what, [&](const nlmsghdr& answer) { read(answer, family, all); });
      if (dumped || dumped.error().code != EINTR) break;
      netlink = Netlink::open();  // the rest of that answer is of no use
      if (!netlink) return netlink.error();
    }
    // A kernel without IPv6 answers EAFNOSUPPORT or EOPNOTSUPP: it has none.
    if (!dumped && (family == Family::v4 || dumped.error().code == EINTR)) return dumped.error();
  }
  return all;
}

struct RuleRequest {
  std::uint16_t type = RTM_GETRULE;
  static void fill(NetlinkMessage& message, std::uint8_t family) {
    message.header<fib_rule_hdr>().family = family;
  }
};

struct RouteRequest {
  std::uint16_t type = RTM_GETROUTE;
  static void fill(NetlinkMessage& message, std::uint8_t family) {
    message.header<rtmsg>().rtm_family = family;
  }
};

}  // namespace

Result<std::vector<ListedRule>> list_rules() {
  return list<ListedRule>("list rules", RuleRequest{},
                          [](const nlmsghdr& answer, Family family, auto& rules) {
                            rules.push_back(read_rule(answer, family));
                          });
}

Result<std::vector<Rule>> own_rules() {
  const auto listed = list_rules();
  if (!listed) return listed.error();
  std::vector<Rule> rules;
  for (const ListedRule& entry : *listed) {
    if (entry.protocol == kRouteProtocol) rules.push_back(entry.rule);
  }
  return rules;
}

Result<std::vector<FoundRoute>> list_routes(TableId table) {
  return list<FoundRoute>("list routes", RouteRequest{},
                          [table](const nlmsghdr& answer, Family, auto& routes) {
                            auto route = read_route(answer);
                            if (route && route->table == table) routes.push_back(std::move(*route));
                          });
}

}  // namespace hairpin::platform
