#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "app/engine.h"
#include "base/log.h"
#include "platform/netns.h"
#include "platform/privileges.h"
#include "platform/sockets.h"

namespace hairpin::app {

namespace {

int fail(const Error& error) {
  const Diagnosis diagnosis = diagnose(error);
  std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
  return diagnosis.status;
}

Result<std::vector<stack::Link>> open_here(const config::Config& config, const RunOptions& options,
                                           unsigned workers) {
  const auto handed = platform::tun_fd_from_environment();
  if (!handed) return handed.error();
  const Mark mark = options.netns.empty() ? config.route.default_mark : Mark{};
  std::vector<stack::Link> links;
  for (const config::TunInbound& inbound : config.inbounds) {
    stack::LinkOptions wanted{inbound, workers, mark, -1};
    if (links.empty()) wanted.adopt_fd = *handed;  // the environment has room for one
    auto link = stack::open_link(wanted);
    if (!link) {
      for (const stack::Link& open : links) stack::close_link(open);
      return link.error();
    }
    links.push_back(std::move(*link));
  }
  return links;
}

/// On a thread of its own: making a link enters other namespaces, and the workers' sockets belong
/// where this process was started.
Result<std::vector<stack::Link>> open_links(const config::Config& config, const RunOptions& options,
                                            unsigned workers) {
  Fd space;
  if (!options.netns.empty()) {
    auto opened = platform::open_network_namespace(options.netns);
    if (!opened) return std::move(opened.error()).in("--netns");
    space = std::move(*opened);
  }
  Result<std::vector<stack::Link>> links = Error{};
  auto entered = platform::run_in_network_namespace(
      space, [&] { links = open_here(config, options, workers); });
  if (!entered) return std::move(entered.error()).in("--netns " + options.netns);
  return links;
}

}  // namespace

int run(const config::Config& config, const RunOptions& options) {
  // Blocked before any thread exists, so that all inherit it and this one alone receives them.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  if (auto limit = platform::raise_descriptor_limit(); !limit) {
    log::warn("{}", limit.error().text());
  }
  const unsigned workers = default_workers();
  auto links = open_links(config, options, workers);
  if (!links) return fail(links.error());
  // Namespaces are made: from here on CAP_NET_ADMIN does (marks, and removing at the end).
  if (auto dropped = platform::drop_system_administration(); !dropped) {
    log::warn("{}", dropped.error().text());
  }
  std::vector<std::string> descriptions;
  for (const stack::Link& link : *links) descriptions.push_back(stack::describe(link));

  std::atomic<bool> lost = false;
  Engine engine(config, std::move(*links), workers, options.netns.empty(), [&lost] {
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
