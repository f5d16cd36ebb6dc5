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

}  // namespace

std::vector<std::shared_ptr<Outbound>> make_outbounds(const config::Config& config, Worker& worker,
                                                      bool mark_sockets) {
  std::vector<std::shared_ptr<Outbound>> outbounds;
  const auto congestion = platform::Congestion::of_system();
  for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
    const config::Outbound& outbound = config.outbounds[i];
    const std::string tag =
        outbound.tag.empty() ? "outbounds[" + std::to_string(i) + "]" : outbound.tag;
    const Mark mark = outbound.dial.routing_mark.value_or(config.route.default_mark);
    const std::string& named = outbound.dial.bind_interface;
    const DialOptions options{
        mark_sockets ? mark : Mark{}, named.empty() ? config.route.default_interface : named,
        config.route.auto_detect_interface, outbound.dial.connect_timeout, congestion};
    outbounds.push_back(std::visit(Maker{tag, worker, options}, outbound.kind));
  }
  return outbounds;
}

}  // namespace hairpin::outbound
