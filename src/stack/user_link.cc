#include "stack/user_link.h"

#include "base/log.h"
#include "platform/interface.h"
#include "stack/outer.h"

namespace hairpin::stack {

namespace {

/// Packets and bytes, of a device that nobody has set otherwise.
constexpr unsigned kUsualQueue = 500;
constexpr unsigned kUsualMtu = 1500;

std::vector<IpAddr> addresses_of(const config::TunInbound& inbound) {
  std::vector<IpAddr> addresses;
  for (const Prefix& prefix : inbound.address) addresses.push_back(prefix.address);
  return addresses;
}

/// What the device holds: a window for more than that would lose packets. One that was handed over
/// has been set by somebody else, and may be where this process cannot look.
platform::InterfaceSize size_of(const LinkOptions& options, const platform::Tun& tun) {
  platform::InterfaceSize size{mtu_of(options.inbound), kQueueLength};
  if (options.adopt_fd >= 0) {
    const auto seen = platform::interface_size(tun.name);
    if (!seen && options.inbound.mtu == 0 && !tun.vnet_header) size.mtu = kUsualMtu;
    if (seen) size.mtu = seen->mtu;
    size.queue_length = seen && seen->queue_length != 0 ? seen->queue_length : kUsualQueue;
  }
  if (tun.room != 0) size.queue_length = static_cast<unsigned>(tun.room / size.mtu);
  return size;
}

}  // namespace

Result<Link> open_user_link(const LinkOptions& options) {
  const bool handed = options.adopt_fd >= 0;
  if (options.inbound.stack_was_gvisor) {
    log::info("stack: \"gvisor\" means \"userspace\" here: it is lwIP that terminates TCP");
  }
  Link link;
  auto& user = link.parts.emplace<UserParts>();
  // One thread has the stack, so one has all packets.
  auto opened = open_outer(options, 1);
  if (!opened) return opened.error();
  user.tun = std::move(*opened);
  const platform::InterfaceSize size = size_of(options, user.tun);
  user.mtu = size.mtu;
  user.length = size.queue_length;
  user.memory_limit = options.memory_limit;
  link.name = user.tun.name;
  auto addresses = settle_outer(options, user.tun);
  // The device may be in a namespace that we are not in, or the system may not show it: what it has
  // been made with is in the configuration.
  if (!addresses && !handed) return addresses.error();
  link.addresses =
      addresses && !addresses->empty() ? std::move(*addresses) : addresses_of(options.inbound);
  link.seats = std::make_shared<Seats>(options.workers);
  if (options.own_mark) {
    if (auto done = refuse_own(link, options); !done) return done.error();
  }
  return link;
}

}  // namespace hairpin::stack
