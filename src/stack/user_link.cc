#include "stack/user_link.h"

#include <cerrno>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "nft/apply.h"
#include "nft/plan.h"
#include "platform/interface.h"
#include "stack/listeners.h"
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

/// A process that was killed a moment ago may still own the table of this name, although its device
/// is gone: the kernel refuses it to others as if they had no rights.
Result<Fd> apply_when_free(const nft::Table& table, bool handed) {
  constexpr auto kStep = std::chrono::milliseconds(10);
  constexpr int kSteps = 100;
  auto owner = nft::apply(table);
  for (int i = 0; i < kSteps && !owner && owner.error().code == EPERM && !handed; ++i) {
    std::this_thread::sleep_for(kStep);
    owner = nft::apply(table);
  }
  return owner;
}

/// The kernel, or this build, has none.
bool without_nftables(const Error& error) {
  return error.code == EOPNOTSUPP || error.code == EPROTONOSUPPORT;
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
  user.memory_limit = options.memory_limit;
  link.name = user.tun.name;
  auto addresses = settle_outer(options, user.tun);
  // The device may be in a namespace that we are not in, or the system may not show it: what it has
  // been made with is in the configuration.
  if (!addresses && !handed) return addresses.error();
  link.addresses =
      addresses && !addresses->empty() ? std::move(*addresses) : addresses_of(options.inbound);
  link.seats = std::make_shared<Seats>(options.workers);
  if (!options.own_mark) return link;
  nft::Table table;
  table.name = nft::table_name(link.name);
  table.chains.push_back(nft::plan_loop_guard(link.name, options.own_mark));
  auto owner = apply_when_free(table, handed);
  if (owner) {
    link.nft_owner = std::move(*owner);
  } else if (!handed && !without_nftables(owner.error())) {
    return owner.error();
  } else {
    // What is routed back to us is found out for each flow (flow/loop_guard.h), at a higher price.
    log::debug("no table against loops: {}", owner.error().text());
  }
  return link;
}

}  // namespace hairpin::stack
