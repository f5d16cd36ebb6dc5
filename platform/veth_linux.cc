#include "platform/veth.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <thread>

#include "platform/interface.h"
#include "platform/netlink.h"

namespace hairpin::platform {

namespace {

void fill_end(NetlinkMessage& message, ifinfomsg& link, const std::string& name,
              const MacAddress& address) {
  link.ifi_family = AF_UNSPEC;
  link.ifi_flags = IFF_NOARP;
  link.ifi_change = IFF_NOARP;
  message.put_text(IFLA_IFNAME, name);
  message.put_bytes(IFLA_ADDRESS, address.data(), address.size());
}

constexpr std::uint8_t kOperUp = 6;  // IF_OPER_UP of linux/if.h, which <net/if.h> excludes

/// Hands the attributes of one interface to `each`.
Result<> ask(Netlink& netlink, IfIndex index, const std::function<void(const nlattr&)>& each) {
  NetlinkMessage message(RTM_GETLINK, 0);
  message.header<ifinfomsg>().ifi_index = index.value();
  return netlink.get(message, "look at a veth", [&](const nlmsghdr& answer) {
    for_each_attribute(answer, sizeof(ifinfomsg), each);
  });
}

/// The index of the other end, in its own namespace.
Result<IfIndex> peer_of(Netlink& netlink, IfIndex index) {
  IfIndex peer;
  auto asked = ask(netlink, index, [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) != IFLA_LINK) return;
    peer = IfIndex{static_cast<int>(mnl_attr_get_u32(&attribute))};
  });
  if (!asked) return asked.error();
  if (!peer) return Error{"find the other end of a veth", ENODEV};
  return peer;
}

}  // namespace

Result<Veth> create_veth(const VethOptions& options) {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  fill_end(message, message.header<ifinfomsg>(), options.inner_name, options.address);
  nlattr* info = message.begin_nest(IFLA_LINKINFO);
  message.put_text(IFLA_INFO_KIND, "veth");
  nlattr* data = message.begin_nest(IFLA_INFO_DATA);
  nlattr* peer = message.begin_nest(VETH_INFO_PEER);
  fill_end(message, message.header<ifinfomsg>(), options.outer_name, options.address);
  message.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(options.outer_namespace.get()));
  message.end_nest(peer);
  message.end_nest(data);
  message.end_nest(info);
  if (auto made = netlink->request(message, "make veth " + options.outer_name); !made) {
    return made.error();
  }
  const auto inner = interface_index(options.inner_name);
  if (!inner) return inner.error();
  const auto outer = peer_of(*netlink, *inner);
  if (!outer) return outer.error();
  return Veth{*outer, *inner};
}

Result<> wait_for_carrier(IfIndex interface) {
  constexpr auto kStep = std::chrono::milliseconds(1);
  constexpr int kSteps = 2000;
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  for (int i = 0; i < kSteps; ++i) {
    bool up = false;
    auto asked = ask(*netlink, interface, [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) != IFLA_OPERSTATE) return;
      up = mnl_attr_get_u8(&attribute) == kOperUp;
    });
    if (!asked) return asked;
    if (up) return {};
    std::this_thread::sleep_for(kStep);
  }
  return Error{"the veth does not come up", ETIMEDOUT};
}

}  // namespace hairpin::platform
