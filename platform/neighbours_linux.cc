#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include "platform/neighbours.h"
#include "platform/netlink.h"

namespace hairpin::platform {

struct Neighbours::State {
  Netlink netlink;
};

Neighbours::Neighbours(std::unique_ptr<State> state) : state_(std::move(state)) {}
Neighbours::Neighbours(Neighbours&&) noexcept = default;
Neighbours& Neighbours::operator=(Neighbours&&) noexcept = default;
Neighbours::~Neighbours() = default;

Result<Neighbours> Neighbours::open() {
  auto netlink = Netlink::open();
  if (!netlink) return netlink.error();
  return Neighbours(std::make_unique<State>(State{std::move(*netlink)}));
}

Result<std::optional<HardwareAddress>> Neighbours::find(const IpAddr& address) {
  NetlinkMessage message(RTM_GETNEIGH, 0);
  message.header<ndmsg>().ndm_family =
      static_cast<std::uint8_t>(address.is_v4() ? AF_INET : AF_INET6);
  std::optional<HardwareAddress> found;
  auto dumped = state_->netlink.dump(message, "list neighbours", [&](const nlmsghdr& answer) {
    bool meant = false;
    std::optional<HardwareAddress> hardware;
    for_each_attribute(answer, sizeof(ndmsg), [&](const nlattr& attribute) {
      const auto* data = static_cast<const std::byte*>(mnl_attr_get_payload(&attribute));
      const std::size_t size = mnl_attr_get_payload_len(&attribute);
      const auto type = mnl_attr_get_type(&attribute);
      if (type == NDA_DST && size == address.size()) {
        meant = IpAddr::from_wire({data, size}) == address;
      } else if (type == NDA_LLADDR && size == sizeof(HardwareAddress)) {
        hardware.emplace();
        std::ranges::copy(std::span(reinterpret_cast<const std::uint8_t*>(data), size),
                          hardware->begin());
      }
    });
    if (meant && hardware) found = hardware;
  });
  if (!dumped) return dumped.error();
  return found;
}

}  // namespace hairpin::platform
