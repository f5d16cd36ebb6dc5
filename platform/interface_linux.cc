#include "platform/interface.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/fd.h"
#include "platform/netlink.h"

namespace hairpin::platform {

namespace {

constexpr std::uint16_t kGsoIpv4MaxSize = 63;  // IFLA_GSO_IPV4_MAX_SIZE, newer than Debian 12

Result<> bring_up(Netlink& netlink, IfIndex index, const std::string& name,
                  const InterfaceSettings& settings) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  auto& link = message.header<ifinfomsg>();
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = index.value();
  link.ifi_flags = IFF_UP;
  link.ifi_change = IFF_UP;
  if (settings.mtu != 0) message.put_u32(IFLA_MTU, settings.mtu);
  if (settings.queue_length != 0) message.put_u32(IFLA_TXQLEN, settings.queue_length);
  return netlink.request(message, "bring up " + name);
}

/// More than 64 KiB in one packet ("BIG TCP": IPv6 since Linux 5.19, IPv4 since 6.3). Where the
/// kernel or the device refuses, packets are smaller: no more than that.
void raise_segment_max(Netlink& netlink, IfIndex index, unsigned bytes) {
  for (const std::uint16_t attribute : {std::uint16_t{IFLA_GSO_MAX_SIZE}, kGsoIpv4MaxSize}) {
    NetlinkMessage message(RTM_NEWLINK, 0);
    auto& link = message.header<ifinfomsg>();
    link.ifi_family = AF_UNSPEC;
    link.ifi_index = index.value();
    message.put_u32(attribute, bytes);
    (void)netlink.request(message, "raise gso_max_size");
  }
}

/// Kernels without IPv6 know no such setting: then there is nothing to keep from being added.
void disable_generated_addresses(Netlink& netlink, IfIndex index) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  auto& link = message.header<ifinfomsg>();
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = index.value();
  nlattr* spec = message.begin_nest(IFLA_AF_SPEC);
  nlattr* inet6 = message.begin_nest(AF_INET6);
  message.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  message.end_nest(inet6);
  message.end_nest(spec);
  (void)netlink.request(message, "disable generated addresses");
}

Result<> add_address(Netlink& netlink, IfIndex index, const std::string& name,
                     const Prefix& prefix) {
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  auto& header = message.header<ifaddrmsg>();
  header.ifa_family = prefix.address.is_v4() ? AF_INET : AF_INET6;
  header.ifa_prefixlen = static_cast<std::uint8_t>(prefix.length);
  // Nobody else can be on a point-to-point device: duplicate detection would only delay IPv6.
  header.ifa_flags = prefix.address.is_v6() ? IFA_F_NODAD : 0;
  header.ifa_index = static_cast<unsigned>(index.value());
  message.put(IFA_LOCAL, prefix.address);
  message.put(IFA_ADDRESS, prefix.address);
  auto added = netlink.request(message, "add address " + prefix.text() + " to " + name);
  if (added.has_error() && added.error().code == EEXIST) return {};
  const bool no_ipv6 = added.has_error() && prefix.address.is_v6() &&
                       (added.error().code == EACCES || added.error().code == EOPNOTSUPP ||
                        added.error().code == EAFNOSUPPORT);
  if (no_ipv6) {
    return Error{added.error().what +
                     ": IPv6 is disabled here; enable it (sysctl "
                     "net.ipv6.conf.default.disable_ipv6=0) or configure no IPv6 address",
                 added.error().code};
  }
  return added;
}

std::string sysctl_path(const std::string& name, const char* key) {
  return "/proc/sys/net/ipv4/conf/" + name + "/" + key;
}

Result<int> read_number(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char digit = '0';
  if (!file || ::read(file.get(), &digit, 1) != 1) return last_error("read " + path);
  return digit - '0';
}

}  // namespace

Result<IfIndex> interface_index(const std::string& name) {
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) return Error{"interface " + name, ENODEV};
  return IfIndex{static_cast<int>(index)};
}

Result<std::vector<FoundInterface>> list_interfaces() {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_GETLINK, 0);
  message.header<ifinfomsg>().ifi_family = AF_UNSPEC;
  std::vector<FoundInterface> interfaces;
  auto dumped = netlink->dump(message, "list interfaces", [&](const nlmsghdr& answer) {
    const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&answer));
    FoundInterface found{IfIndex{header->ifi_index}, {}, false};
    constexpr unsigned kLowerUp = 1U << 16U;  // IFF_LOWER_UP (linux/if.h)
    found.usable = (header->ifi_flags & IFF_UP) != 0 && (header->ifi_flags & kLowerUp) != 0;
    for_each_attribute(answer, sizeof(ifinfomsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) != IFLA_IFNAME) return;
      found.name = mnl_attr_get_str(&attribute);
    });
    interfaces.push_back(std::move(found));
  });
  if (!dumped) return dumped.error();
  return interfaces;
}

Result<> configure_interface(const std::string& name, const InterfaceSettings& settings) {
  const auto index = interface_index(name);
  if (!index) return index.error();
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  disable_generated_addresses(*netlink, *index);
  if (settings.segment_max != 0) raise_segment_max(*netlink, *index, settings.segment_max);
  if (auto up = bring_up(*netlink, *index, name, settings); !up) return up;
  for (const Prefix& address : settings.addresses) {
    if (auto added = add_address(*netlink, *index, name, address); !added) return added;
  }
  return {};
}

Result<> bring_up_loopback() {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  const auto index = interface_index("lo");
  if (!index) return index.error();
  return bring_up(*netlink, *index, "lo", {});
}

namespace {

/// 0: of all interfaces.
Result<std::vector<IpAddr>> addresses_of(IfIndex interface) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_GETADDR, 0);
  message.header<ifaddrmsg>().ifa_family = AF_UNSPEC;
  std::vector<IpAddr> addresses;
  auto dumped = netlink->dump(message, "list addresses", [&](const nlmsghdr& answer) {
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&answer));
    if (interface && static_cast<int>(header->ifa_index) != interface.value()) return;
    const std::size_t size = header->ifa_family == AF_INET ? 4 : 16;
    std::optional<IpAddr> found;
    for_each_attribute(answer, sizeof(ifaddrmsg), [&](const nlattr& attribute) {
      const auto type = mnl_attr_get_type(&attribute);
      if (mnl_attr_get_payload_len(&attribute) != size) return;
      // IFA_ADDRESS is the peer on IPv4 point-to-point links; IFA_LOCAL, where present, is ours.
      if (type == IFA_LOCAL || (type == IFA_ADDRESS && !found)) {
        found = IpAddr::from_wire(
            {static_cast<const std::byte*>(mnl_attr_get_payload(&attribute)), size});
      }
    });
    if (found) addresses.push_back(*found);
  });
  if (!dumped) return dumped.error();
  return addresses;
}

}  // namespace

Result<std::vector<IpAddr>> interface_addresses(IfIndex interface) {
  return addresses_of(interface);
}

Result<std::vector<IpAddr>> local_addresses() {
  return addresses_of(IfIndex{});
}

Result<> check_source_with_mark(const std::string& name) {
  const std::string path = sysctl_path(name, "src_valid_mark");
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), "1", 1) != 1) return last_error("write " + path);
  return {};
}

Result<> loosen_source_check(const std::string& name) {
  const auto index = interface_index(name);
  if (!index) return index.error();
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  constexpr std::uint32_t kLoose = 2;
  NetlinkMessage message(RTM_NEWLINK, 0);  // works where /proc/sys cannot be written
  auto& link = message.header<ifinfomsg>();
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = index->value();
  nlattr* spec = message.begin_nest(IFLA_AF_SPEC);
  nlattr* inet = message.begin_nest(AF_INET);
  nlattr* settings = message.begin_nest(IFLA_INET_CONF);
  message.put_u32(IPV4_DEVCONF_RP_FILTER, kLoose);
  message.end_nest(settings);
  message.end_nest(inet);
  message.end_nest(spec);
  return netlink->request(message, "set rp_filter of " + name);
}

Result<int> reverse_path_filter(const std::string& name) {
  auto own = read_number(sysctl_path(name, "rp_filter"));
  if (!own) return own;
  auto all = read_number(sysctl_path("all", "rp_filter"));
  if (!all) return all;
  return std::max(*own, *all);
}

}  // namespace hairpin::platform
