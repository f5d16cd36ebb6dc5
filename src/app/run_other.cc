// `run` where routing is but routes, and only the userspace stack is there: a device, its routes,
// and the engine. All that is made goes with the device, so nothing is left behind however the
// program ends.
#include <atomic>
#include <boost/asio/signal_set.hpp>
#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "app/engine.h"
#include "app/lacks.h"
#include "app/proxy_names.h"
#include "app/rule_files.h"
#include "app/selections.h"
#include "app/settled.h"
#include "app/signals.h"
#include "base/log.h"
#include "platform/interface_routes.h"
#include "platform/sockets.h"
#include "platform/tun.h"

namespace hairpin::app {

namespace {

constexpr auto kTick = std::chrono::milliseconds(500);
constexpr unsigned kUplinkTicks =
    4;  ///< From one look for the interface that leads out to the next.

/// The routes to our interfaces, as long as this lives.
class Routes {
 public:
  Routes() = default;
  Routes(const Routes&) = delete;
  Routes& operator=(const Routes&) = delete;
  ~Routes() { remove(); }

  Result<> add(const std::string& interface, const std::vector<Prefix>& destinations) {
    for (const Prefix& destination : destinations) {
      if (auto done = platform::add_interface_route(destination, interface); !done) return done;
      added_.emplace_back(destination, interface);
    }
    return {};
  }
  void remove() {
    for (const auto& [destination, interface] : added_) {
      const auto done = platform::remove_interface_route(destination, interface);
      if (!done) log::warn("{}", done.error().text());
    }
    added_.clear();
  }

 private:
  std::vector<std::pair<Prefix, std::string>> added_;
};

/// Once the links are there. For one thread.
class Running {
 public:
  Running(config::Config config, const RunOptions& options, Engine& engine, Selections selections,
          std::string own)
      : config_(std::move(config)),
        options_(options),
        engine_(engine),
        selections_(std::move(selections)),
        own_(std::move(own)) {}

  /// Once the engine runs, and before anything is captured: by which interface to leave.
  void follow_uplink() {
    if (!config_.route.auto_detect_interface) return;
    const auto uplink = platform::find_uplink(own_);
    if (!uplink) return log::warn("{}", uplink.error().text());
    engine_.set_uplink(*uplink);
  }
  /// Until a signal says so, or `end` is called.
  void serve() {
    files_.follow(config_);
    for (const int number : ending_signals()) ending_.add(number);
    ending_.async_wait([this](const boost::system::error_code& ec, int) {
      if (!ec) end();
    });
    if (const auto number = reload_signal()) {
      reloading_.add(*number);
      wait_reload();
    }
    tick();
    context_.run();
    log::info("counters: {}", engine_.counters());
  }
  /// For any thread.
  void end() { context_.stop(); }

 private:
  void wait_reload() {
    reloading_.async_wait([this](const boost::system::error_code& ec, int) {
      if (ec) return;
      reload();
      wait_reload();
    });
  }

  void tick() {
    timer_.expires_after(kTick);
    timer_.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;
      if (files_.have_changed()) read_rule_sets();
      if (++ticks_ % kUplinkTicks == 0) follow_uplink();
      tick();
    });
  }

  /// Flows that run keep what was decided for them.
  void read_rule_sets() {
    config::Config fresh = config_;
    if (!files_.read(fresh)) return;
    engine_.change(fresh);
    config_ = std::move(fresh);
  }

  void reload() {
    if (!options_.reload) return log::warn("not reloaded: there is no configuration file");
    auto fresh = options_.reload();
    if (!fresh || !lacks(*fresh).empty()) {
      return log::error("not reloaded: the configuration is wrong; all goes on as it was");
    }
    if (auto settled = settle(config_, *fresh); !settled) {
      return log::error("not reloaded: {}. All goes on as it was", settled.error().text());
    }
    const auto names = resolve_proxies(proxies_to_resolve(*fresh));
    if (!names) return log::error("not reloaded: {}; all goes on as it was", names.error().text());
    for (const auto& [host, addresses] : *names) engine_.remember(host, addresses);
    engine_.change(*fresh);
    selections_.restore(fresh->cache_file, engine_.groups());
    log::set_level(fresh->log.level);
    config_ = std::move(*fresh);
    files_.follow(config_);
    follow_uplink();
    log::info("reloaded");
  }

  config::Config config_;
  const RunOptions& options_;
  Engine& engine_;
  Selections selections_;
  std::string own_;  ///< Our interface.
  RuleFiles files_;
  unsigned ticks_ = 0;
  asio::io_context context_{1};
  asio::basic_signal_set<Executor> ending_{context_.get_executor()};
  asio::basic_signal_set<Executor> reloading_{context_.get_executor()};
  Timer timer_{context_.get_executor()};
};

Surroundings look_around() {
  Surroundings surroundings;
  if (auto sockets = platform::SocketFinder::open()) {
    surroundings.sockets = std::move(*sockets);
  } else {
    log::warn("rules on processes do not hold: {}", sockets.error().text());
  }
  if (auto neighbours = platform::Neighbours::open()) {
    surroundings.neighbours = std::move(*neighbours);
  } else {
    log::warn("rules on hardware addresses do not hold: {}", neighbours.error().text());
  }
  return surroundings;
}

}  // namespace

int run(const config::Config& config, const RunOptions& options) {
  if (!options.netns.empty()) return fail(Error{"--netns needs Linux; leave it out"});
  if (auto limit = platform::raise_descriptor_limit(); !limit) {
    log::warn("{}", limit.error().text());
  }
  const auto names = resolve_proxies(proxies_to_resolve(config));
  if (!names) return fail(names.error());
  const auto handed = platform::tun_fd_from_environment();
  if (!handed) return fail(handed.error());
  const unsigned workers = default_workers();
  std::vector<stack::Link> links;
  for (const config::TunInbound& inbound : config.inbounds) {
    // The environment has room for one.
    auto link = stack::open_link({inbound, workers, Mark{}, links.empty() ? *handed : -1, 0});
    if (!link) return fail(link.error());
    links.push_back(std::move(*link));
  }
  std::vector<std::string> interfaces;
  std::vector<std::string> descriptions;
  for (const stack::Link& link : links) {
    interfaces.push_back(link.name);
    descriptions.push_back(stack::describe(link));
  }

  // Nobody asks what is not there yet; and it may go before it is asked.
  std::atomic<Running*> running = nullptr;
  std::atomic<bool> lost = false;
  Engine engine(
      config, std::move(links), workers, false,
      [&] {
        if (lost.exchange(true)) return;
        log::error("the interface was removed by somebody else; stopping");
        if (Running* task = running) task->end();
      },
      look_around());
  Selections selections;
  selections.restore(config.cache_file, engine.groups());
  Running task(config, options, engine, std::move(selections), interfaces.front());
  running = &task;
  for (const auto& [host, addresses] : *names) engine.remember(host, addresses);
  engine.start();
  task.follow_uplink();
  for (const std::string& text : descriptions) log::info("up: {}, {} workers", text, workers);
  Routes routes;
  for (std::size_t i = 0; i < interfaces.size(); ++i) {
    if (!config.inbounds[i].auto_route.enabled) continue;
    if (auto added = routes.add(interfaces[i], captured(config.inbounds[i])); !added) {
      engine.stop();
      return fail(added.error());
    }
  }
  task.serve();
  routes.remove();  // before the engine stops: what comes from now on goes its usual way
  engine.stop();
  log::info("stopped");
  return lost ? kExitFailure : kExitOk;
}

int plan(const config::Config& config) {
  for (const config::TunInbound& inbound : config.inbounds) {
    std::printf("# %s%s\n", inbound.tag.empty() ? "tun" : inbound.tag.c_str(),
                inbound.auto_route.enabled ? "" : ": auto_route is off");
    if (!inbound.auto_route.enabled) continue;
    for (const Prefix& destination : captured(inbound)) {
      std::printf("route %s\n", destination.text().c_str());
    }
  }
  return kExitOk;
}

int refuse(const config::Config& config) {
  const auto all = lacks(config);
  for (const std::string& one : all) std::fprintf(stderr, "hairpin: %s\n", one.c_str());
  return all.empty() ? kExitOk : kExitConfig;
}

}  // namespace hairpin::app
