#include "stack/outer.h"

#include "platform/interface.h"

namespace hairpin::stack {

unsigned mtu_of(const config::TunInbound& inbound) {
  return inbound.mtu == 0 ? config::kDefaultMtu : inbound.mtu;
}

Result<platform::Tun> open_outer(const LinkOptions& options, unsigned queues) {
  const config::TunInbound& inbound = options.inbound;
  if (options.adopt_fd >= 0) return platform::adopt_tun(options.adopt_fd, inbound.interface_name);
  platform::TunOptions tun;
  tun.name = inbound.interface_name;
  tun.queues = queues;
  return platform::open_tun(tun);
}

Result<std::vector<IpAddr>> settle_outer(const LinkOptions& options, const platform::Tun& outer) {
  if (options.adopt_fd >= 0) {
    const auto index = platform::interface_index(outer.name);
    if (!index) return index.error();
    return platform::interface_addresses(*index);
  }
  const config::TunInbound& inbound = options.inbound;
  const platform::InterfaceSettings settings{inbound.address, mtu_of(inbound), kQueueLength};
  if (auto done = platform::configure_interface(outer.name, settings); !done) return done.error();
  std::vector<IpAddr> addresses;
  for (const Prefix& prefix : inbound.address) addresses.push_back(prefix.address);
  return addresses;
}

}  // namespace hairpin::stack
