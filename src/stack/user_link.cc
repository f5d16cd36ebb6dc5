#include "stack/user_link.h"

#include "stack/outer.h"

namespace hairpin::stack {

namespace {

/// Packets, of a device that nobody has set otherwise.
constexpr unsigned kUsualQueue = 500;

std::vector<IpAddr> addresses_of(const config::TunInbound& inbound) {
  std::vector<IpAddr> addresses;
  for (const Prefix& prefix : inbound.address) addresses.push_back(prefix.address);
  return addresses;
}

}  // namespace

Result<Link> open_user_link(const LinkOptions& options) {
  const bool handed = options.adopt_fd >= 0;
  Link link;
  auto& user = link.parts.emplace<UserParts>();
  // One thread has the stack, so one has all packets.
  auto opened = open_outer(options, 1);
  if (!opened) return opened.error();
  user.tun = std::move(*opened);
  user.mtu = mtu_of(options.inbound);
  user.length = handed ? kUsualQueue : kQueueLength;
  if (user.tun.room != 0) user.length = static_cast<unsigned>(user.tun.room / user.mtu);
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
