#include "app/engine.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <csignal>

#include "base/log.h"
#include "dispatch/dispatcher.h"
#include "dispatch/tcp_listener.h"
#include "dispatch/udp_listener.h"
#include "nat/translate.h"
#include "stack/pump.h"

namespace hairpin::app {

/// What all workers share of one link.
struct Engine::Link {
  Link(stack::SystemTun opened, std::size_t inbound, bool same_namespace)
      : tun(std::move(opened)),
        translator(tun.addresses),
        capture{translator, inbound, same_namespace, tun.addresses} {}

  stack::SystemTun tun;
  nat::Translator translator;
  dispatch::Capture capture;
};

struct Engine::PerWorker {
  PerWorker(const config::Config& config, const route::Router& router, LoopGuard& guard,
            bool same_namespace)
      : worker(guard), dispatcher(worker, config, router, same_namespace) {}

  /// One worker's part of one link.
  struct Port {
    std::unique_ptr<stack::Pump> pump;
    std::unique_ptr<dispatch::UdpAssociations> associations;
    std::vector<std::unique_ptr<dispatch::TcpListener>> tcp;
    std::vector<std::unique_ptr<dispatch::UdpListener>> udp;
  };

  void add(Link& link, const config::TunInbound& inbound, std::size_t index,
           const stack::Pump::Lost& lost);
  void stop();

  Worker worker;
  dispatch::Dispatcher dispatcher;
  std::vector<Port> ports;
};

namespace {

Fd duplicate(const Fd& fd) {
  return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

}  // namespace

void Engine::PerWorker::add(Link& link, const config::TunInbound& inbound, std::size_t index,
                            const stack::Pump::Lost& lost) {
  Port port;
  auto& outer = link.tun.outer.queues;
  auto& inner = link.tun.inner.queues;
  // A device that was handed over may have fewer queues than there are workers. The others still
  // need it to answer UDP, but do not read from it.
  const bool reads = index < outer.size();
  port.pump = std::make_unique<stack::Pump>(
      worker, link.translator, reads ? std::move(outer[index]) : duplicate(outer.front()),
      reads ? std::move(inner[index]) : duplicate(inner.front()), link.tun.outer.vnet_header, lost);
  port.associations = std::make_unique<dispatch::UdpAssociations>(
      worker, dispatcher, link.capture, *port.pump,
      dispatch::UdpLimits{inbound.udp_nat_max, inbound.udp_timeout});
  for (stack::FamilyListeners& family : link.tun.listeners) {
    port.tcp.push_back(std::make_unique<dispatch::TcpListener>(
        worker, dispatcher, link.capture, std::move(family.tcp[index]), inbound.tcp_idle_timeout));
    port.tcp.back()->start();
    if (index >= family.udp.size()) continue;
    port.udp.push_back(std::make_unique<dispatch::UdpListener>(
        worker, *port.associations, link.capture, std::move(family.udp[index])));
    port.udp.back()->start();
  }
  if (reads) port.pump->start();
  ports.push_back(std::move(port));
}

void Engine::PerWorker::stop() {
  worker.watchdog.stop();
  for (Port& port : ports) {
    for (auto& listener : port.tcp) listener->stop();
    for (auto& listener : port.udp) listener->stop();
    port.associations->clear();
    port.pump->stop();
  }
  worker.context.stop();
}

Engine::Engine(const config::Config& config, std::vector<stack::SystemTun> links, unsigned workers,
               bool same_namespace, std::function<void()> link_lost)
    : config_(config), router_(config_), link_lost_(std::move(link_lost)) {
  std::signal(SIGPIPE, SIG_IGN);
  for (std::size_t i = 0; i < links.size(); ++i) {
    links_.push_back(std::make_unique<Link>(std::move(links[i]), i, same_namespace));
  }
  for (std::size_t index = workers; index-- > 0;) {
    auto worker = std::make_unique<PerWorker>(config_, router_, loop_guard_, same_namespace);
    // From the last to the first: the first moves out the queue that the last ones copy.
    for (std::size_t i = 0; i < links_.size(); ++i) {
      worker->add(*links_[i], config_.inbounds[i], index, link_lost_);
    }
    workers_.push_back(std::move(worker));
  }
}

// NOLINTNEXTLINE(bugprone-exception-escape): joining our own threads does not fail
Engine::~Engine() {
  stop();
}

void Engine::start() {
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

void Engine::stop() {
  for (auto& worker : workers_) {
    asio::post(worker->worker.executor(), [raw = worker.get()] { raw->stop(); });
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  for (const auto& link : links_) stack::close_rules(link->tun.rules);
  workers_.clear();
  links_.clear();
}

std::uint64_t Engine::total(Count what) const {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) {
    sum += worker->worker.counters.get(static_cast<std::size_t>(what));
  }
  return sum;
}

std::uint64_t Engine::packets() const {
  constexpr auto kForward = static_cast<std::size_t>(nat::Verdict::forward);
  std::uint64_t sum = 0;
  for (const auto& worker : workers_) {
    sum += worker->worker.counters.outer(kForward) + worker->worker.counters.inner(kForward);
  }
  return sum;
}

void Engine::drain() {
  constexpr auto kStep = std::chrono::milliseconds(5);
  constexpr auto kQuiet = std::chrono::milliseconds(500);  // longer than a retransmission
  constexpr auto kLongest = std::chrono::seconds(10);
  const auto start = Clock::now();
  auto moved = start;
  for (std::uint64_t seen = packets(); total(Count::tcp_opened) != total(Count::tcp_closed);) {
    std::this_thread::sleep_for(kStep);
    const auto now = Clock::now();
    if (const std::uint64_t count = packets(); count != seen) {
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
  for (std::size_t i = 0; i < nat::kVerdicts; ++i) {
    put("outer_", nat::kVerdictNames[i], total([i](const Counters& c) { return c.outer(i); }));
  }
  for (std::size_t i = 0; i < nat::kVerdicts; ++i) {
    put("inner_", nat::kVerdictNames[i], total([i](const Counters& c) { return c.inner(i); }));
  }
  return text;
}

unsigned default_workers() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&cpus)));
}

}  // namespace hairpin::app
