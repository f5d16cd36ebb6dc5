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

  std::unique_ptr<Outbound> operator()(const config::Direct&) const {
    return std::make_unique<Direct>(tag, worker, options);
  }
  std::unique_ptr<Outbound> operator()(const config::Block&) const {
    return std::make_unique<Block>(tag);
  }
  std::unique_ptr<Outbound> operator()(const config::Socks& settings) const {
    return std::make_unique<Socks>(tag, worker, options, settings);
  }
  std::unique_ptr<Outbound> operator()(const config::Http& settings) const {
    return std::make_unique<Http>(tag, worker, options, settings);
  }
};

}  // namespace

std::vector<std::unique_ptr<Outbound>> make_outbounds(const config::Config& config, Worker& worker,
                                                      bool mark_sockets) {
  std::vector<std::unique_ptr<Outbound>> outbounds;
  const auto congestion = platform::Congestion::of_system();
  for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
    const config::Outbound& outbound = config.outbounds[i];
    const std::string tag =
        outbound.tag.empty() ? "outbounds[" + std::to_string(i) + "]" : outbound.tag;
    const Mark mark = outbound.dial.routing_mark.value_or(config.route.default_mark);
    const DialOptions options{{mark_sockets ? mark : Mark{}, outbound.dial.bind_interface},
                              outbound.dial.connect_timeout,
                              congestion};
    outbounds.push_back(std::visit(Maker{tag, worker, options}, outbound.kind));
  }
  return outbounds;
}

}  // namespace hairpin::outbound
