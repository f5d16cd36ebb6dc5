#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "platform/device/interface.h"
#include "platform/device/netlink.h"

namespace hairpin::device {

namespace {

constexpr unsigned kLowerUp = 1U << 16U;  // IFF_LOWER_UP (linux/if.h)

/// As people call it.
std::string text_of(IfIndex interface) {
  std::array<char, IFNAMSIZ> name{};
  const auto index = static_cast<unsigned>(interface.value());
  if (if_indextoname(index, name.data()) != nullptr) return name.data();
  return "interface " + std::to_string(index);
}

ifinfomsg& link_header(NetlinkMessage& message, IfIndex interface) {
  auto& header = message.header<ifinfomsg>();
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = interface.value();
  return header;
}

ifaddrmsg& address_header(NetlinkMessage& message, IfIndex interface, const Prefix& prefix) {
  auto& header = message.header<ifaddrmsg>();
  header.ifa_family = prefix.address.is_v4() ? AF_INET : AF_INET6;
  header.ifa_prefixlen = static_cast<std::uint8_t>(prefix.length);
  header.ifa_index = static_cast<unsigned>(interface.value());
  return header;
}

std::optional<IpAddr> address_in(const nlattr& attribute, std::size_t size) {
  if (mnl_attr_get_payload_len(&attribute) != size) return std::nullopt;
  return IpAddr::from_wire({static_cast<const std::byte*>(mnl_attr_get_payload(&attribute)), size});
}

InterfaceState read_state(const nlmsghdr& answer) {
  const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&answer));
  InterfaceState state;
  state.up = (header->ifi_flags & IFF_UP) != 0;
  state.running = state.up && (header->ifi_flags & kLowerUp) != 0;
  for_each_attribute(answer, sizeof(ifinfomsg), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case IFLA_IFNAME:
        state.name = mnl_attr_get_str(&attribute);
        break;
      case IFLA_MTU:
        state.mtu = mnl_attr_get_u32(&attribute);
        break;
      case IFLA_TXQLEN:
        state.queue_length = mnl_attr_get_u32(&attribute);
        break;
      case IFLA_ADDRESS:
        if (header->ifi_type == ARPHRD_ETHER &&
            mnl_attr_get_payload_len(&attribute) == sizeof(HardwareAddress)) {
          const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(&attribute));
          std::copy_n(bytes, sizeof(HardwareAddress), state.hardware_address.emplace().begin());
        }
        break;
      default:
        break;
    }
  });
  return state;
}

InterfaceAddress read_address(const nlmsghdr& answer) {
  const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&answer));
  const std::size_t size = header->ifa_family == AF_INET ? 4 : 16;
  std::optional<IpAddr> local;
  std::optional<IpAddr> address;
  InterfaceAddress found;
  for_each_attribute(answer, sizeof(ifaddrmsg), [&](const nlattr& attribute) {
    const auto type = mnl_attr_get_type(&attribute);
    if (type == IFA_LOCAL) local = address_in(attribute, size);
    if (type == IFA_ADDRESS) address = address_in(attribute, size);
    if (type == IFA_BROADCAST) found.broadcast = address_in(attribute, size);
  });
  // IFA_ADDRESS is the peer where there is one; IFA_LOCAL, where present, is ours.
  found.prefix = {local ? *local : address.value_or(IpAddr{}), header->ifa_prefixlen};
  if (local && address && *local != *address) found.peer = address;
  return found;
}

/// What a person can do when IPv6 is switched off.
Error explain(Error error, const IpAddr& address) {
  const bool no_ipv6 = address.is_v6() && (error.code == EACCES || error.code == EOPNOTSUPP ||
                                           error.code == EAFNOSUPPORT);
  if (!no_ipv6) return error;
  error.what +=
      ": IPv6 is disabled here; enable it (sysctl net.ipv6.conf.default.disable_ipv6=0) or "
      "configure no IPv6 address";
  return error;
}

}  // namespace

Result<IfIndex> find_interface(const std::string& name) {
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) return Error{"interface " + name, ENODEV};
  return IfIndex{static_cast<int>(index)};
}

Result<InterfaceState> interface_state(IfIndex interface) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_GETLINK, 0);
  link_header(message, interface);
  InterfaceState state;
  auto got = netlink->get(message, "look at " + text_of(interface),
                          [&](const nlmsghdr& answer) { state = read_state(answer); });
  if (!got) return got.error();
  return state;
}

Result<> change_interface(IfIndex interface, const InterfaceChange& change) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_NEWLINK, 0);
  auto& header = link_header(message, interface);
  if (change.up) {
    header.ifi_flags = *change.up ? unsigned{IFF_UP} : 0U;
    header.ifi_change = IFF_UP;
  }
  if (change.name) message.put_text(IFLA_IFNAME, *change.name);
  if (change.mtu) message.put_u32(IFLA_MTU, *change.mtu);
  if (change.queue_length) message.put_u32(IFLA_TXQLEN, *change.queue_length);
  if (change.hardware_address) {
    message.put_bytes(IFLA_ADDRESS, change.hardware_address->data(),
                      change.hardware_address->size());
  }
  return netlink->request(message, "change " + text_of(interface));
}

Result<> disable_generated_addresses(IfIndex interface) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_NEWLINK, 0);
  link_header(message, interface);
  nlattr* spec = message.begin_nest(IFLA_AF_SPEC);
  nlattr* inet6 = message.begin_nest(AF_INET6);
  message.put_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  message.end_nest(inet6);
  message.end_nest(spec);
  (void)netlink->request(message, "disable generated addresses");  // refused without IPv6
  return {};
}

Result<std::vector<InterfaceAddress>> interface_addresses(IfIndex interface) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_GETADDR, 0);
  message.header<ifaddrmsg>().ifa_family = AF_UNSPEC;
  std::vector<InterfaceAddress> addresses;
  auto dumped = netlink->dump(message, "list addresses", [&](const nlmsghdr& answer) {
    const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&answer));
    if (static_cast<int>(header->ifa_index) != interface.value()) return;
    addresses.push_back(read_address(answer));
  });
  if (!dumped) return dumped.error();
  return addresses;
}

namespace {

/// Whether what is sent to `address` is delivered here.
bool is_delivered(Netlink& netlink, const IpAddr& address) {
  NetlinkMessage message(RTM_GETROUTE, 0);
  auto& header = message.header<rtmsg>();
  header.rtm_family = AF_INET6;
  header.rtm_dst_len = static_cast<unsigned char>(address.bits());
  message.put(RTA_DST, address);
  bool local = false;
  (void)netlink.get(message, "route to " + address.text(), [&](const nlmsghdr& answer) {
    local = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&answer))->rtm_type == RTN_LOCAL;
  });
  return local;
}

/// The kernel completes an IPv6 address in a thread of its own, some milliseconds after it has said
/// that it is there; packets to it are lost until then (seen: one device in twenty, on a busy
/// machine). Bounded: what hinders it is not for us to know.
void await_delivery(Netlink& netlink, IfIndex interface, const IpAddr& address) {
  const auto state = interface_state(interface);
  if (!state || !state->running) return;  // it comes when the interface does
  constexpr int kTries = 500;
  for (int i = 0; i < kTries && !is_delivered(netlink, address); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

}  // namespace

Result<> add_address(IfIndex interface, const InterfaceAddress& address) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  const IpAddr& own = address.prefix.address;
  NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  auto& header = address_header(message, interface, address.prefix);
  if (own.is_v6() && !address.detect_duplicates) header.ifa_flags = IFA_F_NODAD;
  message.put(IFA_LOCAL, own);
  message.put(IFA_ADDRESS, address.peer.value_or(own));
  if (address.broadcast) message.put(IFA_BROADCAST, *address.broadcast);
  auto added = netlink->request(
      message, "add address " + address.prefix.text() + " to " + text_of(interface));
  if (!added) return explain(added.error(), own);
  if (own.is_v6() && !address.detect_duplicates) await_delivery(*netlink, interface, own);
  return added;
}

namespace {

Result<> delete_address(IfIndex interface, const InterfaceAddress& address) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_DELADDR, 0);
  address_header(message, interface, address.prefix);
  message.put(IFA_LOCAL, address.prefix.address);
  message.put(IFA_ADDRESS, address.peer.value_or(address.prefix.address));
  return netlink->request(
      message, "remove address " + address.prefix.text() + " from " + text_of(interface));
}

}  // namespace

Result<> remove_address(IfIndex interface, const IpAddr& address) {
  const auto before = interface_addresses(interface);
  if (!before) return before.error();
  const auto found = std::ranges::find(
      *before, address, [](const InterfaceAddress& one) { return one.prefix.address; });
  if (found == before->end()) {
    return Error{text_of(interface) + " has no address " + address.text(), EADDRNOTAVAIL};
  }
  if (auto gone = delete_address(interface, *found); !gone) return gone;
  // With the first IPv4 address of a network the kernel removes the others of that network, unless
  // it was told to promote them (promote_secondaries).
  const auto after = interface_addresses(interface);
  if (!after) return after.error();
  for (const InterfaceAddress& one : *before) {
    if (one == *found || std::ranges::find(*after, one) != after->end()) continue;
    if (auto back = add_address(interface, one); !back) return back;
  }
  return {};
}

}  // namespace hairpin::device
