#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>

#include "app/commands.h"
#include "app/diagnose.h"
#include "app/engine.h"
#include "base/log.h"
#include "host/apply.h"
#include "host/chains.h"
#include "host/snapshot.h"
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

/// What has been made in the namespace of the interfaces.
struct Made {
  std::vector<stack::Link> links;
  std::vector<host::Applied> routing;

  void unroute() {
    for (host::Applied& applied : routing) applied.remove();
    routing.clear();
  }
};

Result<> make_one(const stack::LinkOptions& options, const std::vector<Mark>& own_marks,
                  Made& made) {
  auto link = stack::open_link(options);
  if (!link) return link.error();
  made.links.push_back(std::move(*link));
  if (!options.inbound.auto_route.enabled) return {};
  const stack::Link& open = made.links.back();
  host::Policy policy{open.name, open.companions,           open.addresses, own_marks,
                      {},        options.inbound.auto_route};
  for (const stack::FamilyListeners& family : open.redirected) {
    const auto port = platform::local_port(family.tcp.front().get());
    if (!port) return port.error();
    policy.redirections.push_back({family.family, *port});
  }
  const auto host = host::take_snapshot(policy);
  if (!host) return host.error();
  auto applied = host::apply(host::make_plan(policy, *host));
  if (!applied) return applied.error();
  made.routing.push_back(std::move(*applied));
  return {};
}

Result<Made> make_here(const config::Config& config, bool same_namespace, unsigned workers) {
  const auto handed = platform::tun_fd_from_environment();
  if (!handed) return handed.error();
  const Mark own_mark = same_namespace ? config.route.default_mark : Mark{};
  const auto own_marks = same_namespace ? config::marks_of(config) : std::vector<Mark>{};
  Made made;
  for (const config::TunInbound& inbound : config.inbounds) {
    stack::LinkOptions options{inbound, workers, own_mark, -1};
    if (made.links.empty()) options.adopt_fd = *handed;  // the environment has room for one
    if (auto done = make_one(options, own_marks, made); !done) {
      made.unroute();
      for (const stack::Link& open : made.links) stack::close_link(open);
      return done.error();
    }
  }
  return made;
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
Result<Made> make_links(const config::Config& config, const Fd& space, unsigned workers) {
  Result<Made> made = Error{};
  auto done =
      platform::run_in_network_namespace(space, [&] { made = make_here(config, !space, workers); });
  if (!done) return std::move(done.error()).in("--netns");
  return made;
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
  auto made = make_links(config, *space, workers);
  if (!made) return fail(made.error());
  // Namespaces are made: from here on CAP_NET_ADMIN does (marks, and removing at the end).
  if (auto dropped = platform::drop_system_administration(); !dropped) {
    log::warn("{}", dropped.error().text());
  }
  std::vector<std::string> descriptions;
  for (const stack::Link& link : made->links) descriptions.push_back(stack::describe(link));

  std::atomic<bool> lost = false;
  Engine engine(config, std::move(made->links), workers, !*space, [&lost] {
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
  made->unroute();  // first: what comes from now on goes its usual way
  engine.stop();
  log::info("stopped");
  return lost ? kExitFailure : kExitOk;
}

int plan(const config::Config& config) {
  for (const config::TunInbound& inbound : config.inbounds) {
    const bool named = !inbound.interface_name.empty();
    const std::string name = named ? inbound.interface_name : "DEVICE";
    std::vector<IpAddr> addresses;
    for (const Prefix& prefix : inbound.address) addresses.push_back(prefix.address);
    std::printf("# %s%s\n", inbound.tag.empty() ? "tun" : inbound.tag.c_str(),
                inbound.auto_route.enabled ? "" : ": auto_route is off");
    if (!inbound.auto_route.enabled) continue;
    host::Policy policy{name,      stack::companions_of(inbound.link, name),
                        addresses, config::marks_of(config),
                        {},        inbound.auto_route};
    if (inbound.auto_route.redirect) {
      // The kernel chooses the ports.
      for (const Family family : {Family::v4, Family::v6}) {
        if (host::carries(policy, family)) policy.redirections.push_back({family, 0});
      }
    }
    const auto host = host::take_snapshot(policy);
    if (!host) return fail(host.error());
    const auto plan = host::make_plan(policy, *host);
    std::fputs(host::render_routing(plan).c_str(), stdout);
    std::fputs(host::render_tables(plan).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace hairpin::app
