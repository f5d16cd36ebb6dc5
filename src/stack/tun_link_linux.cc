#include "stack/tun_link.h"

#include <net/if.h>

#include <array>

#include "base/log.h"
#include "nft/apply.h"
#include "nft/plan.h"
#include "platform/interface.h"
#include "stack/listeners.h"
#include "stack/outer.h"

namespace hairpin::stack {

namespace {

/// Marks and tables are numbered by the inner device's index, which is unique in its namespace: any
/// number of instances can run side by side. "HP" keeps clear of the small numbers people choose.
constexpr std::uint32_t kNumberBase = 0x48500000;
constexpr std::uint32_t kDeliverBit = 0x01000000;  ///< Tells the table for local delivery.
constexpr std::uint32_t kNumberMask = 0xfef00000;  ///< What is the same in all of them.
constexpr std::uint32_t kMaxIndex = 0x000fffff;    ///< What the base leaves free.

/// Before all rules that people write, which must not see translated packets: only "local" (0) is
/// earlier.
constexpr RulePriority kDeliverPriority{90};
constexpr RulePriority kAnswerPriority{91};

std::uint32_t number_of(IfIndex inner) {
  return kNumberBase | static_cast<std::uint32_t>(inner.value());
}

Result<platform::Tun> open_inner(const LinkOptions& options, const platform::Tun& outer) {
  platform::TunOptions tun;
  tun.name = inner_name(outer.name);
  tun.queues = static_cast<unsigned>(outer.queues.size());
  tun.vnet_header = outer.vnet_header;
  // What one device hands out the other must take: segment UDP on both, or on neither.
  tun.segment_udp = outer.segments_udp;
  auto inner = platform::open_tun(tun);
  if (!inner) return inner;
  const platform::InterfaceSettings settings{{}, mtu_of(options.inbound), kQueueLength};
  if (auto done = platform::configure_interface(inner->name, settings); !done) return done.error();
  return inner;
}

/// Packets arrive on the inner device from any address of the world. A strict reverse-path filter
/// would drop them, unless it looks the source up with the packet's mark, which leads back to the
/// inner device (kAnswerPriority).
Result<> pass_reverse_path_filter(const std::string& inner) {
  auto set = platform::check_source_with_mark(inner);
  if (set) return {};
  const auto filter = platform::reverse_path_filter(inner);
  if (filter && *filter != 1) return {};
  return Error{set.error().what +
                   ": the reverse-path filter (rp_filter) is strict and cannot be told about " +
                   inner + "; make /proc/sys writable or set net.ipv4.conf.all.rp_filter=2",
               set.error().code};
}

/// Rules of instances that are gone: their inner device does not exist any more.
void remove_stale_rules(platform::Remover& remover) {
  const auto rules = platform::own_rules();
  if (!rules) return;
  for (const platform::Rule& rule : *rules) {
    if ((rule.table.value() & kNumberMask) != kNumberBase) continue;  // not a link's
    const std::uint32_t index = rule.table.value() & kMaxIndex;
    std::array<char, IFNAMSIZ> name{};
    if (if_indextoname(index, name.data()) != nullptr) continue;
    if (auto removed = remover.remove(rule); !removed) log::warn("{}", removed.error().text());
  }
}

/// Adds the routes and rules of one family; each rule that is there goes to `rules`.
Result<> add_policy_routing(Family family, const platform::Tun& inner, IfIndex index,
                            std::vector<platform::Rule>& rules) {
  const std::uint32_t number = number_of(index);
  const Mark mark{number};
  const TableId deliver{number | kDeliverBit};
  const TableId answer{number};
  // Routes go with the device, even the local one.
  if (auto ok = platform::add_route({everything(family), index, deliver, true}); !ok) return ok;
  if (auto ok = platform::add_route({everything(family), index, answer, false}); !ok) return ok;
  const std::array<platform::Rule, 2> wanted{{
      {.family = family,
       .priority = kDeliverPriority,
       .mark = mark,
       .input_interface = inner.name,
       .table = deliver},
      {.family = family, .priority = kAnswerPriority, .mark = mark, .table = answer},
  }};
  for (const platform::Rule& rule : wanted) {
    if (auto ok = platform::add_rule(rule); !ok) return ok;
    rules.push_back(rule);
  }
  return {};
}

}  // namespace

std::string inner_name(const std::string& outer) {
  constexpr std::size_t kLongest = IFNAMSIZ - 1;
  constexpr std::string_view kSuffix = "-in";
  std::string name = outer.substr(0, kLongest - kSuffix.size()) + std::string(kSuffix);
  if (name == outer) name.back() = '2';  // it ended like this and had no room for more
  return name;
}

Result<Link> open_tun_link(const LinkOptions& options) {
  auto remover = platform::Remover::open();
  if (!remover) return remover.error();
  remove_stale_rules(*remover);
  Link link;
  auto& [outer, inner] = link.parts.emplace<TunParts>();
  auto opened = open_outer(options, options.workers);
  if (!opened) return opened.error();
  outer = std::move(*opened);
  link.name = outer.name;
  auto addresses = settle_outer(options, outer);
  if (!addresses) return addresses.error();
  link.addresses = std::move(*addresses);
  if (link.addresses.empty()) {
    return Error{"interface " + link.name + " has no address", EADDRNOTAVAIL};
  }
  opened = open_inner(options, outer);
  if (!opened) return opened.error();
  inner = std::move(*opened);
  link.companions.push_back(inner.name);
  const auto index = platform::interface_index(inner.name);
  if (!index) return index.error();
  if (static_cast<std::uint32_t>(index->value()) > kMaxIndex) {
    return Error{"interface " + inner.name + " has too high an index", ERANGE};
  }
  const Mark mark{number_of(*index)};
  link.remover = std::move(*remover);

  const bool takes_udp = options.inbound.stack == config::StackKind::system;
  if (!takes_udp) link.seats = std::make_shared<Seats>(options.workers);
  nft::TunLinkPolicy policy{link.name, inner.name, mark, {}};
  // From here on there is something that does not vanish with a descriptor.
  const auto undone = [&](Error error) {
    close_link(link);
    return error;
  };
  for (const Family family : {Family::v4, Family::v6}) {
    if (!has_family(link.addresses, family)) continue;
    if (family == Family::v4) {
      if (auto ok = pass_reverse_path_filter(inner.name); !ok) return undone(ok.error());
    }
    // Bound to the inner device, for two reasons. Nobody but the translator can reach the
    // listeners: not a neighbour who guesses the port, nor ourselves by way of another interface.
    // And where a client uses one port for both ends (C:p → D:p), the answer that we write to the
    // outer device has the very names of the accepted socket; the kernel would find it there at
    // once (early demultiplexing), were it not for the device.
    auto listeners = open_listeners({family, inner.name, mark}, options.workers, takes_udp);
    if (!listeners) return undone(listeners.error());
    const auto ports = ports_of(*listeners);
    if (!ports) return undone(ports.error());
    policy.listeners.push_back(*ports);
    link.listeners.push_back(std::move(*listeners));
    if (auto ok = add_policy_routing(family, inner, *index, link.rules); !ok) {
      return undone(ok.error());
    }
  }
  nft::Table table = nft::plan_tun_link(policy);
  if (options.own_mark) table.chains.push_back(nft::plan_loop_guard(link.name, options.own_mark));
  auto owner = nft::apply(table);
  if (!owner) return undone(owner.error());
  link.nft_owner = std::move(*owner);
  return link;
}

}  // namespace hairpin::stack
