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
#include "platform/device/interface.h"
#include "platform/netlink.h"

namespace hairpin::platform {

namespace {

constexpr std::uint16_t kGsoIpv4MaxSize = 63;  // IFLA_GSO_IPV4_MAX_SIZE, newer than Debian 12

/// More than 64 KiB in one packet ("BIG TCP": IPv6 since Linux 5.19, IPv4 since 6.3). Where the
/// kernel or the device refuses, packets are smaller: no more than that.
void raise_segment_max(IfIndex index, unsigned bytes) {
  auto netlink = Netlink::open();
  if (!netlink) return;
  for (const std::uint16_t attribute : {std::uint16_t{IFLA_GSO_MAX_SIZE}, kGsoIpv4MaxSize}) {
    NetlinkMessage message(RTM_NEWLINK, 0);
    auto& link = message.header<ifinfomsg>();
    link.ifi_family = AF_UNSPEC;
    link.ifi_index = index.value();
    message.put_u32(attribute, bytes);
    (void)netlink->request(message, "raise gso_max_size");
  }
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
  return device::find_interface(name);
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
  if (auto done = device::disable_generated_addresses(*index); !done) return done;
  if (settings.segment_max != 0) raise_segment_max(*index, settings.segment_max);
  device::InterfaceChange change;
  if (settings.mtu != 0) change.mtu = settings.mtu;
  if (settings.queue_length != 0) change.queue_length = settings.queue_length;
  change.up = true;
  if (auto up = device::change_interface(*index, change); !up) return up;
  for (const Prefix& address : settings.addresses) {
    auto added = device::add_address(*index, {.prefix = address});
    if (!added && added.error().code != EEXIST) return added;
  }
  return {};
}

Result<InterfaceSize> interface_size(const std::string& name) {
  const auto index = interface_index(name);
  if (!index) return index.error();
  const auto state = device::interface_state(*index);
  if (!state) return state.error();
  return InterfaceSize{state->mtu, state->queue_length};
}

Result<> bring_up_loopback() {
  const auto index = interface_index("lo");
  if (!index) return index.error();
  device::InterfaceChange change;
  change.up = true;
  return device::change_interface(*index, change);
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
