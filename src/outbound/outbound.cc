#include "outbound/outbound.h"

#include "outbound/block.h"
#include "outbound/direct.h"
#include "outbound/http.h"
#include "outbound/socks.h"

namespace hairpin::outbound {

namespace {

struct Maker {
  const std::string& tag;
  Worker& worker;
  DialOptions options;

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

DialOptions options_of(const config::Config& config, const config::Dial& dial, bool mark_sockets) {
  const Mark mark = dial.routing_mark.value_or(config.route.default_mark);
  const std::string& named = dial.bind_interface;
  DialOptions options{
      mark_sockets ? mark : Mark{},       named.empty() ? config.route.default_interface : named,
      config.route.auto_detect_interface, dial.connect_timeout,
      platform::Congestion::of_system(),  dial.domain_resolver};
  if (options.resolver.server.empty()) options.resolver = config.route.default_domain_resolver;
  return options;
}

}  // namespace

std::vector<std::shared_ptr<Outbound>> make_outbounds(const config::Config& config, Worker& worker,
                                                      bool mark_sockets) {
  std::vector<std::shared_ptr<Outbound>> outbounds;
  for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
    const config::Outbound& outbound = config.outbounds[i];
    const std::string tag =
        outbound.tag.empty() ? "outbounds[" + std::to_string(i) + "]" : outbound.tag;
    DialOptions options = options_of(config, outbound.dial, mark_sockets);
    // Names that clients have asked for: whoever has answered them knows their addresses.
    options.resolves_by_rules = std::holds_alternative<config::Direct>(outbound.kind);
    outbounds.push_back(std::visit(Maker{tag, worker, options}, outbound.kind));
  }
  return outbounds;
}

std::shared_ptr<Outbound> make_direct(std::string tag, const config::Config& config,
                                      const config::Dial& dial, Worker& worker, bool mark_sockets) {
  return std::make_shared<Direct>(std::move(tag), worker, options_of(config, dial, mark_sockets));
}

}  // namespace hairpin::outbound
