#include "stack/veth_link.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <bit>
#include <random>

#include "base/log.h"
#include "nft/apply.h"
#include "nft/plan.h"
#include "platform/interface.h"
#include "platform/netns.h"
#include "platform/packet_socket.h"
#include "platform/veth.h"
#include "stack/listeners.h"
#include "stack/outer.h"
#include "stack/veth_port.h"

namespace hairpin::stack {

namespace {

/// Bytes that programs of this host send through the interface at once. Nothing cuts them on the
/// way to our listeners: measured, a sixth more throughput than with 64 KiB. Not for the other
/// direction, where a packet may go on to a client behind this host: what a network card cannot
/// cut, the kernel cuts slowly.
constexpr unsigned kSegmentMax = 256 * 1024;
constexpr const char* kInnerName = "hairpin";
/// Names of interfaces without a configured one, as the kernel gives them to TUN devices.
constexpr const char* kNamePattern = "tun%d";
constexpr RulePriority kFirst{0};
/// Bytes. What the kernel itself sends over IPv6 (echo replies above all) is cut to what most paths
/// carry: a client behind this host may be on one, and routers do not cut. IPv4 they do.
constexpr unsigned kMtu6 = 1500;

/// ICMPv6 errors need a source address, and the private namespace has no other. Of no meaning
/// elsewhere (RFC 4193).
Prefix icmp6_source() {
  return *Prefix::parse("fd48:5000::1/128");
}

/// Locally administered, unicast.
platform::MacAddress random_address() {
  std::random_device random;
  platform::MacAddress address{0x02};
  for (std::size_t i = 1; i < address.size(); ++i) {
    address[i] = static_cast<std::uint8_t>(random());
  }
  return address;
}

/// Puts the calling thread back where it was, on every way out. That this is allowed was tried
/// before it left.
class Return {
 public:
  explicit Return(const Fd& home) : home_(home) {}
  ~Return() {
    if (auto back = platform::enter_network_namespace(home_); !back) {
      log::error("{}", back.error().text());
    }
  }
  Return(const Return&) = delete;
  Return& operator=(const Return&) = delete;

 private:
  const Fd& home_;
};

/// All addresses of the world are this namespace's own (they are in `local`: that is where the
/// kernel looks whether it may speak for an address, as in an echo reply), but only for what comes
/// in: what goes out finds just the way back.
Result<> route(Family family, IfIndex inner, unsigned mtu) {
  const auto loopback = platform::interface_index("lo");
  if (!loopback) return loopback.error();
  const unsigned limit = family == Family::v6 ? std::min(mtu, kMtu6) : 0;
  auto ok = platform::add_route({everything(family), inner, platform::kMainTable, false, limit});
  if (!ok) return ok;
  ok = platform::add_route({everything(family), *loopback, platform::kLocalTable, true});
  if (!ok) return ok;
  ok = platform::add_rule({.family = family,
                           .priority = kFirst,
                           .input_interface = kInnerName,
                           .table = platform::kLocalTable});
  if (!ok) return ok;
  return platform::remove_local_rule(family);
}

/// Each packet that arrives is shown to all of these sockets. More workers than a few have no more
/// SYNs a second for it.
constexpr unsigned kMaxSynSockets = 4;

Result<> open_syn_sockets(VethParts& parts, unsigned workers, IfIndex inner) {
  const unsigned count = std::bit_floor(std::min(workers, kMaxSynSockets));
  for (unsigned i = 0; i < count; ++i) {
    auto socket = platform::open_syn_socket(
        inner, {released_address(parts.address), static_cast<std::uint16_t>(count - 1),
                static_cast<std::uint16_t>(i)});
    if (!socket) return socket.error();
    parts.syn_sockets.push_back(std::move(*socket));
  }
  return {};
}

/// Everything in the private namespace but the devices. Requires: the calling thread is in it.
Result<> furnish(Link& link, VethParts& parts, const LinkOptions& options, IfIndex inner) {
  if (auto up = platform::bring_up_loopback(); !up) return up;
  platform::InterfaceSettings settings{{}, parts.mtu, kQueueLength};
  if (has_family(link.addresses, Family::v6)) settings.addresses.push_back(icmp6_source());
  if (auto done = platform::configure_interface(kInnerName, settings); !done) return done;
  nft::VethLinkPolicy policy{kInnerName, {}};
  for (const Family family : {Family::v4, Family::v6}) {
    if (!has_family(link.addresses, family)) continue;
    if (auto ok = route(family, inner, parts.mtu); !ok) return ok;
    auto listeners = open_listeners({family, kInnerName, Mark{}}, options.workers);
    if (!listeners) return listeners.error();
    const auto ports = ports_of(*listeners);
    if (!ports) return ports.error();
    policy.listeners.push_back(*ports);
    link.listeners.push_back(std::move(*listeners));
  }
  if (options.inbound.tcp_handshake == config::Handshake::faithful) {
    policy.released = released_address(parts.address);
    if (auto opened = open_syn_sockets(parts, options.workers, inner); !opened) return opened;
  }
  auto owner = nft::apply(nft::plan_veth_link(policy));
  if (!owner) return owner.error();
  parts.private_nft = std::move(*owner);
  auto guard = platform::open_device_guard(inner);
  if (!guard) return guard.error();
  parts.guard = std::move(*guard);
  auto statistics = platform::IpStatistics::open();
  if (!statistics) return statistics.error();
  parts.statistics = std::move(*statistics);
  return {};
}

/// The interface's own side. Requires: the calling thread is in its namespace.
Result<> settle_outer(Link& link, const LinkOptions& options, IfIndex outer) {
  std::array<char, IFNAMSIZ> name{};
  if (if_indextoname(static_cast<unsigned>(outer.value()), name.data()) == nullptr) {
    return last_error("find the interface");
  }
  link.name = name.data();
  const platform::InterfaceSettings settings{options.inbound.address, mtu_of(options.inbound),
                                             kQueueLength, kSegmentMax};
  if (auto done = platform::configure_interface(link.name, settings); !done) return done;
  if (auto& parts = std::get<VethParts>(link.parts); !parts.syn_sockets.empty()) {
    auto release = platform::open_packet_socket(outer);
    if (!release) return release.error();
    parts.release = std::move(*release);
  }
  return platform::wait_for_carrier(outer);
}

/// Makes the veth and furnishes the private namespace. Requires: the calling thread is in it.
Result<> build_inside(Link& link, VethParts& parts, const LinkOptions& options, const Fd& home,
                      platform::Veth& veth, bool* refused) {
  const std::string& name = options.inbound.interface_name;
  auto remover = platform::Remover::open();
  if (!remover) return remover.error();
  auto space = platform::current_network_namespace();
  if (!space) return space.error();
  auto made =
      platform::create_veth({name.empty() ? kNamePattern : name, home, kInnerName, parts.address});
  if (!made && made.error().code == EEXIST) {
    *refused = false;
    return Error{"interface " + name + " exists already", EBUSY};
  }
  if (!made) return made.error();
  veth = *made;
  parts.space = std::move(*space);
  link.remover = std::move(*remover);
  link.device = veth.inner;
  for (unsigned i = 0; i < options.workers; ++i) {
    auto socket = platform::open_packet_socket(veth.inner);
    if (!socket) return socket.error();
    parts.packet_sockets.push_back(std::move(*socket));
  }
  *refused = false;
  return furnish(link, parts, options, veth.inner);
}

/// Both ends are up now; the inner one must be ready too.
Result<> wait_inside(IfIndex inner, const Link& link, const Fd& home) {
  const Fd& space = std::get<VethParts>(link.parts).space;
  if (auto entered = platform::enter_network_namespace(space); !entered) return entered;
  const Return back(home);
  return platform::wait_for_carrier(inner);
}

Result<> guard_against_loops(Link& link, Mark own_mark) {
  const nft::Table table{
      nft::table_name(link.name), true, {nft::plan_loop_guard(link.name, own_mark)}, {}};
  auto owner = nft::apply(table);
  if (!owner) return owner.error();
  link.nft_owner = std::move(*owner);
  return {};
}

}  // namespace

Result<Link> open_veth_link(const LinkOptions& options, bool* refused) {
  bool ignored = false;
  if (refused == nullptr) refused = &ignored;
  *refused = false;
  const std::string& name = options.inbound.interface_name;
  if (name.size() >= IFNAMSIZ) {
    return Error{"interface name " + name + " (at most 15 characters)", ENAMETOOLONG};
  }
  Link link;
  auto& parts = link.parts.emplace<VethParts>();
  parts.mtu = mtu_of(options.inbound);
  parts.address = random_address();
  for (const Prefix& prefix : options.inbound.address) link.addresses.push_back(prefix.address);

  *refused = true;  // what fails from here on is not allowed, or not there
  auto home = platform::current_network_namespace();
  if (!home) return home.error();
  // Entering where we are changes nothing, and tells whether there is a way back: in a user
  // namespace of its own a process may leave a network namespace that it may not enter.
  if (auto back = platform::enter_network_namespace(*home); !back) return back.error();
  if (auto entered = platform::enter_private_network_namespace(); !entered) return entered.error();
  Result<> made;
  platform::Veth veth;
  {
    const Return back(*home);
    made = build_inside(link, parts, options, *home, veth, refused);
  }
  // The namespace, and so the interface, would live on for a moment after an error.
  if (made) made = settle_outer(link, options, veth.outer);
  if (made) made = wait_inside(veth.inner, link, *home);
  if (made && options.own_mark) made = guard_against_loops(link, options.own_mark);
  if (!made) {
    close_link(link);
    return made.error();
  }
  return link;
}

}  // namespace hairpin::stack
