#include "outbound/outbound.h"

#include <algorithm>

#include "base/log.h"
#include "outbound/block.h"
#include "outbound/direct.h"
#include "outbound/group.h"
#include "outbound/http.h"
#include "outbound/socks.h"

namespace hairpin::outbound {

namespace {

struct Maker {
  const std::string& tag;
  Worker& worker;
  DialOptions options;
  const Groups& groups;
  const std::vector<std::shared_ptr<Outbound>>& references;

  std::shared_ptr<Outbound> operator()(const config::Group&) const {
    auto group = std::make_shared<Group>(tag, worker, groups.by_tag.at(tag), references);
    group->start();
    return group;
  }
  std::shared_ptr<Outbound> operator()(const config::Direct&) const {
    return std::make_shared<Direct>(tag, worker, options);
  }
  std::shared_ptr<Outbound> operator()(const config::Block&) const {
    return std::make_shared<Block>(tag);
  }
  std::shared_ptr<Outbound> operator()(const config::Socks& settings) const {
    return std::make_shared<Socks>(tag, worker, options, settings);
  }
  std::shared_ptr<Outbound> operator()(const config::Http& settings) const {
    return std::make_shared<Http>(tag, worker, options, settings);
  }
};

/// Says so once where it is missing.
bool can_open_fast() {
  static const bool can = [] {
    if (platform::has_fast_open()) return true;
    log::warn(
        "tcp_fast_open: this kernel has no TCP_FASTOPEN_CONNECT; connections are opened as usual");
    return false;
  }();
  return can;
}

DialOptions options_of(const config::Config& config, const config::Dial& dial, bool mark_sockets) {
  const config::Route& route = config.route;
  DialOptions options;
  if (mark_sockets) options.mark = dial.routing_mark.value_or(route.default_mark);
  options.interface = dial.bind_interface.empty() ? route.default_interface : dial.bind_interface;
  options.follow_uplink = route.auto_detect_interface;
  options.connect_timeout = dial.connect_timeout;
  options.fallback_delay = dial.fallback_delay;
  options.source4 = dial.inet4_bind_address;
  options.source6 = dial.inet6_bind_address;
  options.reuse_address = dial.reuse_addr;
  options.fast_open = dial.tcp_fast_open && can_open_fast();
  options.congestion = platform::Congestion::of_system();
  options.resolver = dial.domain_resolver;
  if (options.resolver.server.empty()) options.resolver = route.default_domain_resolver;
  return options;
}

/// Makes each outbound behind those that it refers to, which make no circle (config/parse).
class Factory {
 public:
  Factory(const config::Config& config, const Groups& groups, Worker& worker, bool mark_sockets,
          const Existing& existing)
      : config_(config),
        groups_(groups),
        worker_(worker),
        mark_sockets_(mark_sockets),
        existing_(existing),
        made_(config.outbounds.size()) {
    if (existing.config == nullptr) return;
    const config::Route& before = existing.config->route;
    same_defaults_ = before.default_mark == config.route.default_mark &&
                     before.default_interface == config.route.default_interface &&
                     before.default_domain_resolver == config.route.default_domain_resolver &&
                     before.auto_detect_interface == config.route.auto_detect_interface;
  }

  std::vector<std::shared_ptr<Outbound>> make() && {
    for (std::size_t i = 0; i < made_.size(); ++i) get(i);
    return std::move(made_);
  }

 private:
  const std::shared_ptr<Outbound>& get(std::size_t index) {
    std::shared_ptr<Outbound>& outbound = made_[index];
    if (outbound) return outbound;
    std::vector<std::shared_ptr<Outbound>> references;
    for (const std::string& tag : config::references_of(config_.outbounds[index])) {
      const auto found = std::ranges::find(config_.outbounds, tag, &config::Outbound::tag);
      references.push_back(get(static_cast<std::size_t>(found - config_.outbounds.begin())));
    }
    outbound = kept(config_.outbounds[index], references);
    if (!outbound) outbound = fresh(index, references);
    return outbound;
  }

  std::shared_ptr<Outbound> kept(const config::Outbound& settings,
                                 const std::vector<std::shared_ptr<Outbound>>& references) const {
    if (!same_defaults_) return nullptr;
    const bool group = std::holds_alternative<config::Group>(settings.kind);
    if (group && existing_.groups != &groups_) return nullptr;
    const auto& before = existing_.config->outbounds;
    const auto same = std::ranges::find(before, settings);
    if (same == before.end()) return nullptr;
    for (const auto& reference : references) {
      if (std::ranges::find(existing_.outbounds, reference) == existing_.outbounds.end()) {
        return nullptr;
      }
    }
    return existing_.outbounds[static_cast<std::size_t>(same - before.begin())];
  }

  std::shared_ptr<Outbound> fresh(std::size_t index,
                                  const std::vector<std::shared_ptr<Outbound>>& references) const {
    const config::Outbound& outbound = config_.outbounds[index];
    const config::Dial& dial = outbound.dial;
    const std::string tag =
        outbound.tag.empty() ? "outbounds[" + std::to_string(index) + "]" : outbound.tag;
    DialOptions options = options_of(config_, dial, mark_sockets_);
    if (!dial.detour.empty()) options.detour = references.front();
    // Names that clients have asked for: whoever has answered them knows their addresses.
    options.resolves_by_rules = std::holds_alternative<config::Direct>(outbound.kind);
    return std::visit(Maker{tag, worker_, options, groups_, references}, outbound.kind);
  }

  const config::Config& config_;
  const Groups& groups_;
  Worker& worker_;
  bool mark_sockets_;
  const Existing& existing_;
  bool same_defaults_ = false;
  std::vector<std::shared_ptr<Outbound>> made_;
};

}  // namespace

std::vector<std::shared_ptr<Outbound>> make_outbounds(const config::Config& config,
                                                      const Groups& groups, Worker& worker,
                                                      bool mark_sockets, const Existing& existing) {
  return Factory(config, groups, worker, mark_sockets, existing).make();
}

std::shared_ptr<Outbound> make_direct(std::string tag, const config::Config& config,
                                      const config::Dial& dial, Worker& worker, bool mark_sockets) {
  return std::make_shared<Direct>(std::move(tag), worker, options_of(config, dial, mark_sockets));
}

}  // namespace hairpin::outbound
