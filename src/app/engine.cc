#include "app/engine.h"

#include <algorithm>

#include "app/rule_updates.h"
#include "base/log.h"
#include "dispatch/dispatcher.h"
#include "dispatch/tcp_listener.h"
#include "dispatch/udp_listener.h"
#include "nat/translate.h"
#include "platform/process.h"

namespace hairpin::app {

namespace {

/// Of connections whose clients have not been answered yet, and for each worker of dials for them:
/// far more than are ever needed at a time, and an eighth of all descriptors at most.
std::size_t max_prepared() {
  constexpr std::size_t kMost = 4096;
  return std::min(kMost, platform::descriptor_limit() / 8);
}

/// Whether the kernel can be told is no choice of ours.
void tell_bypasses(const dispatch::Policy& policy) {
  const auto& rules = policy.config.route.rules;
  const auto& inbounds = policy.config.inbounds;
  const bool captures = std::ranges::any_of(
      inbounds, [](const config::TunInbound& tun) { return tun.auto_route.enabled; });
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].action != config::Action::bypass) continue;
    if (!captures) {
      log::info("route.rules[{}] bypasses nothing in the kernel: that needs auto_route", i);
      continue;
    }
    const auto asks = policy.router.asks_more(i);
    if (!asks) continue;
    log::info(
        "route.rules[{}] bypasses flows one by one, not whole destinations: route.rules[{}] asks "
        "for more than where they go",
        i, *asks);
  }
}

}  // namespace

/// What all workers share of one link.
struct Engine::Source {
  Source(stack::Link opened, std::size_t inbound, bool same_namespace)
      : link(std::move(opened)),
        capture(stack::capture_of(link, inbound, same_namespace)),
        redirection(stack::redirection_of(link, inbound, same_namespace)) {}

  stack::Link link;
  dispatch::Capture capture;
  dispatch::Capture redirection;  ///< auto_redirect
};

struct Engine::PerWorker {
  PerWorker(std::shared_ptr<const dispatch::Policy> policy, std::shared_ptr<dns::Store> store,
            LoopGuard& guard, Who* who, Stations* stations, Bypasses* bypasses, bool same_namespace)
      : worker(guard, who, stations, bypasses),
        dispatcher(worker, std::move(policy), std::move(store), same_namespace) {}

  /// One worker's part of one link.
  struct Part {
    std::unique_ptr<stack::Port> port;
    std::unique_ptr<dispatch::SynGate> gate;  ///< Null: the kernel answers all SYNs.
    // The same of what is redirected:
    std::unique_ptr<stack::RedirectedSyns> queue;
    std::unique_ptr<dispatch::SynGate> queue_gate;
    std::unique_ptr<dispatch::UdpAssociations> associations;
    std::unique_ptr<dispatch::Admission> admission;
    std::vector<std::unique_ptr<dispatch::TcpListener>> tcp;
    std::vector<std::unique_ptr<dispatch::UdpListener>> udp;
  };

  void add(Source& source, const config::TunInbound& inbound, std::size_t index,
           dispatch::PreparedConnections& prepared, const stack::Lost& lost);
  void change(const std::shared_ptr<const dispatch::Policy>& policy);
  void stop();

  std::shared_ptr<RuleUpdates> updates;  ///< Of one worker; null: of another.

  Worker worker;
  dispatch::Dispatcher dispatcher;
  std::vector<Part> parts;
};

void Engine::PerWorker::add(Source& source, const config::TunInbound& inbound, std::size_t index,
                            dispatch::PreparedConnections& prepared, const stack::Lost& lost) {
  Part part;
  part.port = stack::open_port(source.link, source.capture, worker, index, lost);
  if (inbound.tcp_handshake == config::Handshake::faithful && part.port->syns() != nullptr) {
    part.gate = std::make_unique<dispatch::SynGate>(worker, dispatcher, source.capture, prepared,
                                                    *part.port->syns());
    part.port->hold_syns(*part.gate);
  }
  part.queue = stack::open_redirected_syns(source.link, inbound.auto_route.marks, worker, index);
  if (part.queue) {
    part.queue_gate = std::make_unique<dispatch::SynGate>(worker, dispatcher, source.redirection,
                                                          prepared, *part.queue);
    part.queue->start(*part.queue_gate);
  }
  part.associations = std::make_unique<dispatch::UdpAssociations>(
      worker, dispatcher, source.capture, part.port->answers(),
      dispatch::UdpLimits{inbound.udp_nat_max, inbound.udp_timeout});
  part.admission = std::make_unique<dispatch::Admission>(worker, dispatcher, source.capture,
                                                         prepared, inbound.tcp_idle_timeout);
  part.port->take_seat(*part.associations, *part.admission);
  const auto listen = [&](Fd& socket, dispatch::Arrival arrival) {
    part.tcp.push_back(
        std::make_unique<dispatch::TcpListener>(*part.admission, std::move(socket), arrival));
    part.tcp.back()->start();
  };
  for (stack::FamilyListeners& family : source.link.redirected) {
    listen(family.tcp[index], dispatch::Arrival::redirected);
  }
  for (stack::FamilyListeners& family : source.link.listeners) {
    listen(family.tcp[index], dispatch::Arrival::transparent);
    if (index >= family.udp.size()) continue;
    part.udp.push_back(std::make_unique<dispatch::UdpListener>(
        worker, *part.associations, source.capture, std::move(family.udp[index])));
    part.udp.back()->start();
  }
  part.port->start();
  parts.push_back(std::move(part));
}

void Engine::PerWorker::change(const std::shared_ptr<const dispatch::Policy>& policy) {
  dispatcher.change(policy);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const config::TunInbound& inbound = policy->config.inbounds[i];
    parts[i].admission->set_idle(inbound.tcp_idle_timeout);
    parts[i].associations->set_limits({inbound.udp_nat_max, inbound.udp_timeout});
  }
  if (updates) updates->restart();
}

void Engine::PerWorker::stop() {
  worker.watchdog.stop();
  for (Part& part : parts) {
    for (auto& listener : part.tcp) listener->stop();
    for (auto& listener : part.udp) listener->stop();
    part.associations->clear();
    part.port->stop();
    if (part.gate) part.gate->stop();
    if (part.queue) part.queue->stop();
    if (part.queue_gate) part.queue_gate->stop();
  }
  worker.context.stop();
}

Engine::Engine(const config::Config& config, std::vector<stack::Link> links, unsigned workers,
               bool same_namespace, stack::Lost link_lost, Surroundings surroundings)
    : store_(std::make_shared<dns::Store>()),
      policy_(std::make_shared<const dispatch::Policy>(
          config, store_->configure(config.dns, config.cache_file))),
      prepared_(max_prepared()),
      link_lost_(std::move(link_lost)) {
  tell_bypasses(*policy_);
  if (surroundings.sockets) who_ = std::make_unique<Who>(std::move(*surroundings.sockets));
  if (surroundings.neighbours) {
    stations_ = std::make_unique<Stations>(std::move(*surroundings.neighbours));
  }
  const bool takes_bypasses = surroundings.takes_bypasses;
  const auto protect = std::move(surroundings.protect);
  platform::ignore_broken_pipes();
  for (std::size_t i = 0; i < links.size(); ++i) {
    sources_.push_back(std::make_unique<Source>(std::move(links[i]), i, same_namespace));
  }
  for (std::size_t index = workers; index-- > 0;) {
    auto worker =
        std::make_unique<PerWorker>(policy_, store_, loop_guard_, who_.get(), stations_.get(),
                                    takes_bypasses ? &bypasses_ : nullptr, same_namespace);
    worker->worker.protect = protect;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      worker->add(*sources_[i], policy_->config.inbounds[i], index, prepared_, link_lost_);
    }
    if (index == 0) {
      worker->updates = std::make_shared<RuleUpdates>(worker->worker, worker->dispatcher);
    }
    workers_.push_back(std::move(worker));
  }
}

// NOLINTNEXTLINE(bugprone-exception-escape): joining our own threads does not fail
Engine::~Engine() {
  stop();
}

void Engine::start() {
  const PerWorker& first = *workers_.back();
  asio::post(workers_.back()->worker.executor(), [updates = first.updates] { updates->restart(); });
  for (auto& worker : workers_) {
    threads_.emplace_back([&context = worker->worker.context] {
      const auto work = asio::make_work_guard(context);
      for (;;) {
        try {
          context.run();
          return;
        } catch (const std::exception& failure) {
          // Out of memory, or of the kernel's room for epoll watches: one flow's loss, not of all.
          log::error("a flow was lost: {}", failure.what());
        }
      }
    });
  }
}

void Engine::change(const config::Config& config) {
  policy_ = std::make_shared<const dispatch::Policy>(
      config, store_->configure(config.dns, config.cache_file), policy_.get());
  tell_bypasses(*policy_);
  for (auto& worker : workers_) {
    asio::post(worker->worker.executor(),
               [raw = worker.get(), policy = policy_] { raw->change(policy); });
  }
}

void Engine::remember(const std::string& host, const std::vector<IpAddr>& addresses) {
  for (auto& worker : workers_) {
    asio::post(worker->worker.executor(), [raw = worker.get(), host, addresses] {
      raw->worker.resolver.remember(host, addresses);
    });
  }
}

void Engine::set_uplink(const std::string& interface) {
  if (interface == uplink_) return;
  log::info("outbound sockets are bound to {} from now on",
            interface.empty() ? "no interface" : interface);
  uplink_ = interface;
  for (auto& worker : workers_) {
    asio::post(worker->worker.executor(),
               [raw = worker.get(), interface] { raw->worker.uplink = interface; });
  }
}

std::vector<Bypasses::Destination> Engine::take_bypasses() {
  auto found = bypasses_.take();
  std::erase_if(found, [this](const auto& one) { return one.policy != policy_; });
  return found;
}

void Engine::stop() {
  for (auto& worker : workers_) {
    asio::post(worker->worker.executor(), [raw = worker.get()] { raw->stop(); });
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  for (const auto& worker : workers_) {
    if (worker->updates) worker->updates->join();
  }
  store_->close();  // it posts to the workers' contexts, too
  who_.reset();     // it posts to the workers' contexts
  for (const auto& source : sources_) stack::close_link(source->link);
  workers_.clear();
  sources_.clear();
}

std::uint64_t Engine::total(Count what) const {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) {
    sum += worker->worker.counters.get(static_cast<std::size_t>(what));
  }
  return sum;
}

void Engine::drain() {
  constexpr auto kStep = std::chrono::milliseconds(5);
  constexpr auto kQuiet = std::chrono::milliseconds(500);  // longer than a retransmission
  constexpr auto kLongest = std::chrono::seconds(10);
  const auto start = Clock::now();
  auto moved = start;
  const auto bytes = [this] { return total(Count::tcp_bytes_up) + total(Count::tcp_bytes_down); };
  for (std::uint64_t seen = bytes(); total(Count::tcp_opened) != total(Count::tcp_closed);) {
    std::this_thread::sleep_for(kStep);
    const auto now = Clock::now();
    if (const std::uint64_t count = bytes(); count != seen) {
      seen = count;
      moved = now;
    }
    if (now - moved > kQuiet || now - start > kLongest) return;
  }
}

std::string Engine::counters() const {
  std::string text;
  const auto put = [&text](std::string_view prefix, std::string_view name, std::uint64_t value) {
    if (value == 0) return;
    if (!text.empty()) text += ' ';
    text.append(prefix).append(name).append("=").append(std::to_string(value));
  };
  const auto total = [this](auto get) {
    std::uint64_t sum = 0;
    for (const auto& worker : workers_) sum += get(worker->worker.counters);
    return sum;
  };
  for (std::size_t i = 0; i < kCounts; ++i) {
    put("", kCountNames[i], total([i](const Counters& c) { return c.get(i); }));
  }
  std::uint64_t overflows = 0;
  for (const auto& worker : workers_) {
    for (const PerWorker::Part& part : worker->parts) {
      for (const auto& listener : part.udp) overflows += listener->overflows();
    }
  }
  put("", "udp_queue_overflow", overflows);
  for (std::size_t i = 0; i < nat::kVerdicts; ++i) {
    put("outer_", nat::kVerdictNames[i], total([i](const Counters& c) { return c.outer(i); }));
  }
  for (std::size_t i = 0; i < nat::kVerdicts; ++i) {
    put("inner_", nat::kVerdictNames[i], total([i](const Counters& c) { return c.inner(i); }));
  }
  for (const auto& source : sources_) {
    for (const auto& [name, value] : stack::kernel_counters(source->link)) {
      put("outer_", name, value);
    }
  }
  return text;
}

unsigned default_workers() {
  return platform::processors();
}

}  // namespace hairpin::app
