#include "platform/routes.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "platform/netlink.h"
#include "platform/remover.h"

namespace hairpin::platform {

namespace {

std::uint8_t address_family(Family family) {
  return family == Family::v4 ? AF_INET : AF_INET6;
}

std::string describe(const Rule& rule) {
  std::string text = "rule " + std::to_string(rule.priority.value()) + ":";
  if (!rule.input_interface.empty()) text += " iif " + rule.input_interface;
  if (rule.mark) text += " fwmark " + std::to_string(rule.mark.value());
  text += " lookup " + std::to_string(rule.table.value());
  return text + (rule.family == Family::v4 ? " (IPv4)" : " (IPv6)");
}

void fill(NetlinkMessage& message, const Rule& rule) {
  auto& header = message.header<fib_rule_hdr>();
  header.family = address_family(rule.family);
  header.action = FR_ACT_TO_TBL;
  message.put_u32(FRA_PRIORITY, rule.priority.value());
  message.put_u32(FRA_TABLE, rule.table.value());
  message.put_u8(FRA_PROTOCOL, kRouteProtocol);
  if (rule.mark) message.put_u32(FRA_FWMARK, rule.mark.value());
  if (!rule.input_interface.empty()) message.put_text(FRA_IIFNAME, rule.input_interface);
}

std::optional<Rule> read_rule(const nlmsghdr& answer, Family family) {
  Rule rule;
  rule.family = family;
  bool ours = false;
  for_each_attribute(answer, sizeof(fib_rule_hdr), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case FRA_PROTOCOL:
        ours = mnl_attr_get_u8(&attribute) == kRouteProtocol;
        break;
      case FRA_PRIORITY:
        rule.priority = RulePriority{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_TABLE:
        rule.table = TableId{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_FWMARK:
        rule.mark = Mark{mnl_attr_get_u32(&attribute)};
        break;
      case FRA_IIFNAME:
        rule.input_interface = mnl_attr_get_str(&attribute);
        break;
      default:
        break;
    }
  });
  if (!ours) return std::nullopt;
  return rule;
}

}  // namespace

Result<> add_route(const Route& route) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
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
  return netlink->request(message, "add route " + route.destination.text() + " to table " +
                                       std::to_string(route.table.value()));
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

Result<> Remover::remove(IfIndex device) {
  NetlinkMessage message(RTM_DELLINK, 0);
  message.header<ifinfomsg>().ifi_index = device.value();
  auto removed = netlink_->request(message, "delete an interface");
  if (!removed && removed.error().code == ENODEV) return {};
  return removed;
}

Result<std::vector<Rule>> own_rules() {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  std::vector<Rule> rules;
  for (const Family family : {Family::v4, Family::v6}) {
    NetlinkMessage message(RTM_GETRULE, 0);
    message.header<fib_rule_hdr>().family = address_family(family);
    auto dumped = netlink->dump(message, "list rules", [&](const nlmsghdr& answer) {
      if (auto rule = read_rule(answer, family)) rules.push_back(*rule);
    });
    // A kernel without IPv6 answers EAFNOSUPPORT or EOPNOTSUPP: it has no such rules.
    if (!dumped && family == Family::v4) return dumped.error();
  }
  return rules;
}

}  // namespace hairpin::platform
