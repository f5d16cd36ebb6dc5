#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "app/engine.h"
#include "base/log.h"
#include "platform/sockets.h"

namespace hairpin::app {

namespace {

int fail(const Error& error) {
  const Diagnosis diagnosis = diagnose(error);
  std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
  return diagnosis.status;
}

Result<std::vector<stack::SystemTun>> open_links(const config::Config& config, unsigned workers) {
  const auto handed = platform::tun_fd_from_environment();
  if (!handed) return handed.error();
  std::vector<stack::SystemTun> links;
  for (const config::TunInbound& inbound : config.inbounds) {
    stack::SystemTunOptions options{inbound, workers, config.route.default_mark, -1};
    if (links.empty()) options.adopt_fd = *handed;  // the environment has room for one
    auto link = stack::open_system_tun(options);
    if (!link) {
      for (const stack::SystemTun& open : links) stack::close_rules(open.rules);
      return link.error();
    }
    links.push_back(std::move(*link));
  }
  return links;
}

std::string describe(const stack::SystemTun& link) {
  std::string text = link.outer.name;
  for (const IpAddr& address : link.addresses) text += " " + address.text();
  text += link.outer.vnet_header ? ", virtio header" : ", no virtio header";
  if (link.outer.segments_tcp) text += ", TCP segmentation";
  if (link.outer.segments_udp) text += ", UDP segmentation";
  return text;
}

}  // namespace

int run(const config::Config& config) {
  // Blocked before any thread exists, so that all inherit it and this one alone receives them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  if (auto limit = platform::raise_descriptor_limit(); !limit) {
    log::warn("{}", limit.error().text());
  }
  const unsigned workers = default_workers();
  auto links = open_links(config, workers);
  if (!links) return fail(links.error());
  std::vector<std::string> descriptions;
  for (const stack::SystemTun& link : *links) descriptions.push_back(describe(link));

  std::atomic<bool> lost = false;
  Engine engine(config, std::move(*links), workers, true, [&lost] {
    if (lost.exchange(true)) return;
    log::error("the interface was removed by somebody else; stopping");
    ::kill(::getpid(), SIGTERM);
  });
  engine.start();
  for (const std::string& text : descriptions) log::info("up: {}, {} workers", text, workers);
  for (;;) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) continue;
    log::info("counters: {}", engine.counters());
    if (number != SIGUSR1) break;
  }
  engine.stop();
  log::info("stopped");
  return lost ? kExitFailure : kExitOk;
}

}  // namespace hairpin::app
