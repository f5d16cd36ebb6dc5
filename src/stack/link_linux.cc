#include "stack/link.h"

#include <fcntl.h>

#include <chrono>
#include <thread>

#include "base/log.h"
#include "nft/apply.h"
#include "platform/interface.h"
#include "stack/listeners.h"
#include "stack/pump.h"
#include "stack/queue_port.h"
#include "stack/tun_link.h"
#include "stack/user_link.h"
#include "stack/user_port.h"
#include "stack/veth_link.h"
#include "stack/veth_port.h"

namespace hairpin::stack {

namespace {

Fd duplicate(const Fd& fd) {
  return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

Result<Link> open_either(const LinkOptions& options) {
  if (options.adopt_fd >= 0) {
    auto link = open_tun_link(options);
    if (link) link->why = "a TUN was handed over";
    return link;
  }
  bool refused = false;
  auto veth = open_veth_link(options, &refused);
  if (veth || !refused) return veth;
  auto tun = open_tun_link(options);
  if (!tun) return std::move(tun.error()).in("no veth (" + veth.error().text() + "), no TUN");
  tun->why = "no veth: " + veth.error().text();
  return tun;
}

}  // namespace

namespace {

Result<Link> open_kind(const LinkOptions& options) {
  if (options.inbound.stack == config::StackKind::userspace) return open_user_link(options);
  if (options.inbound.stack == config::StackKind::mixed) return open_tun_link(options);
  switch (options.inbound.link) {
    case config::LinkKind::automatic:
      return open_either(options);
    case config::LinkKind::veth:
      if (options.adopt_fd >= 0) return Error{"link is \"veth\", but a TUN was handed over"};
      return open_veth_link(options, nullptr);
    case config::LinkKind::tun:
      break;
  }
  return open_tun_link(options);
}

}  // namespace

namespace {

/// A process that was killed a moment ago may still have its interface: the kernel takes it away in
/// its own time. Whoever else has one of that name will be there afterwards, too.
void wait_for_name(const LinkOptions& options) {
  constexpr auto kStep = std::chrono::milliseconds(10);
  constexpr auto kPatience = std::chrono::seconds(5);
  const std::string& name = options.inbound.interface_name;
  if (name.empty() || options.adopt_fd >= 0) return;
  const auto is_there = [&name] {
    return platform::interface_index(name) || platform::interface_index(inner_name(name));
  };
  const auto start = Clock::now();
  while (is_there() && Clock::now() - start < kPatience) std::this_thread::sleep_for(kStep);
}

}  // namespace

Result<Link> open_link(const LinkOptions& options) {
  wait_for_name(options);
  auto link = open_kind(options);
  if (!link || !options.inbound.auto_route.redirect) return link;
  for (const FamilyListeners& family : link->listeners) {
    auto sockets = open_redirected(family.family, options.workers);
    if (!sockets) {
      close_link(*link);
      return sockets.error();
    }
    link->redirected.push_back(std::move(*sockets));
  }
  if (options.inbound.tcp_handshake == config::Handshake::eager) return link;
  auto queues = open_syn_queues(options.inbound.auto_route.queue, options.workers);
  if (!queues) {
    close_link(*link);
    return queues.error();
  }
  link->queues = std::move(*queues);
  return link;
}

std::vector<std::string> companions_of(const config::TunInbound& inbound,
                                       const std::string& interface) {
  const bool mixed = inbound.stack == config::StackKind::mixed;
  const bool tun = inbound.link == config::LinkKind::tun;
  if (inbound.stack == config::StackKind::userspace || !(tun || mixed)) return {};
  return {inner_name(interface)};
}

void close_link(const Link& link) {
  if (!link.remover) return;
  // The handle is not what is described by "const": it is only spoken through.
  auto& remover = const_cast<platform::Remover&>(*link.remover);
  const auto tell = [](const Result<>& removed) {
    if (!removed) log::warn("{}", removed.error().text());
  };
  for (const platform::Rule& rule : link.rules) tell(remover.remove(rule));
  if (link.device) tell(remover.remove(link.device));
}

std::vector<std::pair<std::string, std::uint64_t>> kernel_counters(const Link& link) {
  std::vector<std::pair<std::string, std::uint64_t>> values;
  const auto* parts = std::get_if<VethParts>(&link.parts);
  if (parts == nullptr) return values;
  values.emplace_back("dropped_malformed", parts->statistics.malformed());
  const auto read = nft::read_counters(parts->private_nft, "hairpin");
  if (!read) {
    log::warn("{}", read.error().text());
    return values;
  }
  for (const nft::CounterValue& counter : *read) values.emplace_back(counter.name, counter.packets);
  return values;
}

std::unique_ptr<Port> open_port(Link& link, const dispatch::Capture& capture, Worker& worker,
                                std::size_t index, Lost lost) {
  if (auto* veth = std::get_if<VethParts>(&link.parts)) {
    // One worker watches for all.
    return std::make_unique<VethPort>(
        worker, std::move(veth->packet_sockets[index]), index == 0 ? std::move(veth->guard) : Fd(),
        VethPort::Wire{veth->address, veth->mtu}, link.addresses,
        index >= veth->syn_sockets.size()
            ? VethPort::Syns{}
            : VethPort::Syns{std::move(veth->syn_sockets[index]), duplicate(veth->release)},
        std::move(lost));
  }
  if (auto* user = std::get_if<UserParts>(&link.parts)) {
    return std::make_unique<UserPort>(worker, Place{capture.inbound, index, link.seats},
                                      link.addresses, *user, std::move(lost));
  }
  // A device that was handed over may have fewer queues than there are workers. The others still
  // need it to answer UDP, but do not read from it.
  const auto share = [index](platform::Tun& tun) {
    return Pump::Device{index < tun.queues.size() ? std::move(tun.queues[index]) : Fd(),
                        duplicate(tun.writer)};
  };
  auto& [outer, inner] = std::get<TunParts>(link.parts);
  return std::make_unique<Pump>(
      worker, *capture.translator, Place{capture.inbound, index, link.seats}, link.addresses,
      Pump::Devices{share(outer), share(inner), outer.vnet_header, outer.segments_udp},
      std::move(lost));
}

std::unique_ptr<RedirectedSyns> open_redirected_syns(Link& link, const config::Marks& marks,
                                                     Worker& worker, std::size_t index) {
  if (!link.queues) return nullptr;
  return std::make_unique<QueuePort>(worker, std::move(link.queues->sockets[index]),
                                     static_cast<std::uint16_t>(link.queues->numbers.first + index),
                                     marks);
}

}  // namespace hairpin::stack
