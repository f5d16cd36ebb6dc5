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

Result<std::vector<stack::Link>> open_here(const config::Config& config, Mark own_mark,
                                           unsigned workers) {
  const auto handed = platform::tun_fd_from_environment();
  if (!handed) return handed.error();
  std::vector<stack::Link> links;
  for (const config::TunInbound& inbound : config.inbounds) {
    stack::LinkOptions wanted{inbound, workers, own_mark, -1};
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

/// The namespace that was asked for; empty when it is our own, by whatever name.
Result<Fd> other_namespace(const std::string& netns) {
  if (netns.empty()) return Fd();
  auto space = platform::open_network_namespace(netns);
  if (!space) return std::move(space.error()).in("--netns");
  const auto ours = platform::current_network_namespace();
  if (!ours) return ours.error();
  if (platform::same_network_namespace(*space, *ours)) return Fd();
  return space;
}

/// On a thread of its own: making a link enters other namespaces, and the workers' sockets belong
/// where this process was started.
Result<std::vector<stack::Link>> open_links(const config::Config& config, const Fd& space,
                                            unsigned workers) {
  const Mark own_mark = space ? Mark{} : config.route.default_mark;
  Result<std::vector<stack::Link>> links = Error{};
  auto done = platform::run_in_network_namespace(
      space, [&] { links = open_here(config, own_mark, workers); });
  if (!done) return std::move(done.error()).in("--netns");
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
  const auto space = other_namespace(options.netns);
  if (!space) return fail(space.error());
  auto links = open_links(config, *space, workers);
  if (!links) return fail(links.error());
  // Namespaces are made: from here on CAP_NET_ADMIN does (marks, and removing at the end).
  if (auto dropped = platform::drop_system_administration(); !dropped) {
    log::warn("{}", dropped.error().text());
  }
  std::vector<std::string> descriptions;
  for (const stack::Link& link : *links) descriptions.push_back(stack::describe(link));

  std::atomic<bool> lost = false;
  Engine engine(config, std::move(*links), workers, !*space, [&lost] {
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
