#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <thread>

#include "app/commands.h"
#include "app/control.h"
#include "app/diagnose.h"
#include "app/engine.h"
#include "app/groups.h"
#include "app/proxy_names.h"
#include "app/rule_files.h"
#include "app/selections.h"
#include "app/settled.h"
#include "base/log.h"
#include "host/chains.h"
#include "host/keeper.h"
#include "host/leftovers.h"
#include "host/local_proxy.h"
#include "host/snapshot.h"
#include "host/uplink.h"
#include "platform/cgroup.h"
#include "platform/names.h"
#include "platform/netns.h"
#include "platform/privileges.h"
#include "platform/sockets.h"
#include "platform/tun.h"

namespace hairpin::app {

namespace {

std::vector<host::Policy> policies_of(const config::Config& config,
                                      const std::vector<stack::Link>& links, bool same_namespace) {
  std::vector<host::Policy> policies;
  for (std::size_t i = 0; i < links.size(); ++i) {
    const config::AutoRoute& wanted = config.inbounds[i].auto_route;
    if (!wanted.enabled) continue;
    const stack::Link& link = links[i];
    host::Policy policy{link.name, link.companions, link.addresses, {}, {}, wanted, link.rules};
    if (same_namespace) policy.own_marks = config::marks_of(config);
    if (link.queues) policy.queue = link.queues->numbers;
    for (const stack::FamilyListeners& family : link.redirected) {
      policy.redirections.push_back({family.family, family.tcp_port});
    }
    policies.push_back(std::move(policy));
  }
  return policies;
}

/// What has been made in the namespace of the interfaces.
struct Made {
  std::vector<stack::Link> links;
  Surroundings surroundings;
  host::Keeper keeper;
};

Result<Made> make_here(const config::Config& config, bool same_namespace, unsigned workers) {
  const auto handed = platform::tun_fd_from_environment();
  if (!handed) return handed.error();
  const Mark own_mark = same_namespace ? config.route.default_mark : Mark{};
  Made made;
  made.surroundings.takes_bypasses = true;
  const auto undone = [&made](const Error& error) {
    for (const stack::Link& open : made.links) stack::close_link(open);
    return error;
  };
  for (const config::TunInbound& inbound : config.inbounds) {
    stack::LinkOptions options{inbound, workers, own_mark, -1};
    if (made.links.empty()) options.adopt_fd = *handed;  // the environment has room for one
    auto link = stack::open_link(options);
    if (!link) return undone(link.error());
    made.links.push_back(std::move(*link));
  }
  auto keeper = host::Keeper::start(policies_of(config, made.links, same_namespace));
  if (!keeper) return undone(keeper.error());
  made.keeper = std::move(*keeper);
  if (auto sockets = platform::SocketFinder::open()) {
    made.surroundings.sockets = std::move(*sockets);
  } else {
    log::warn("rules on processes do not hold: {}", sockets.error().text());
  }
  if (auto neighbours = platform::Neighbours::open()) {
    made.surroundings.neighbours = std::move(*neighbours);
  } else {
    log::warn("rules on hardware addresses do not hold: {}", neighbours.error().text());
  }
  return made;
}

/// Namespaces are made: from here on CAP_NET_ADMIN does (marks, and what is removed at the end).
void give_up_administration() {
  if (auto dropped = platform::drop_system_administration(); !dropped) {
    log::warn("{}", dropped.error().text());
  }
}

/// sing-box takes this variable for the wish to be served by iptables.
Result<> check_environment(const config::Config& config) {
  const char* disabled = std::getenv("DISABLE_NFTABLES");
  const bool routes = std::ranges::any_of(
      config.inbounds, [](const config::TunInbound& tun) { return tun.auto_route.enabled; });
  if (!routes || disabled == nullptr || *disabled == '\0') return {};
  return Error{
      "DISABLE_NFTABLES is set, and there is no other mode: with iptables rules could "
      "neither be changed all at once nor vanish with the process that made them. Unset "
      "it, or leave auto_route out and set routes yourself"};
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

/// While it lives, sockets of this process have our mark, if there is a wall of a former run: that
/// would refuse the questions for names which must be asked before it goes.
class Outside {
 public:
  explicit Outside(Mark mark) {
    const auto left = host::find_leftovers();
    if (!left || left->walls.empty()) return;
    auto home = platform::cgroup_of(::getpid());
    auto done = home ? platform::make_cgroup(host::kBypassGroup) : Result<>(home.error());
    if (done) done = platform::mark_sockets_for_good(host::kBypassGroup, mark);
    if (done) done = platform::enter_cgroup(host::kBypassGroup, ::getpid());
    if (done) {
      home_ = std::move(*home);
    } else {
      log::warn("{}", done.error().text());
    }
  }
  ~Outside() {
    if (!home_) return;
    if (auto done = platform::enter_cgroup(*home_, ::getpid()); !done) {
      log::warn("{}", done.error().text());
    }
    (void)platform::remove_cgroup(host::kBypassGroup);  // unless somebody else is in it
  }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  std::optional<std::string> home_;
};

/// As `resolve_proxies`, also behind such a wall.
Result<platform::Names> resolve_outside(const config::Config& config) {
  const auto hosts = proxies_to_resolve(config);
  std::optional<Outside> outside;
  if (!hosts.empty()) outside.emplace(config.route.default_mark);
  return resolve_proxies(hosts);
}

/// `run`, once the links are there. Everything here happens on the control thread.
class Running {
 public:
  Running(config::Config config, const RunOptions& options, Engine& engine, host::Keeper& keeper,
          std::vector<host::Policy> policies, host::LocalProxies proxies, bool same_namespace,
          Fd requests, Selections selections)
      : config_(std::move(config)),
        options_(options),
        engine_(engine),
        keeper_(keeper),
        policies_(std::move(policies)),
        proxies_(std::move(proxies)),
        same_namespace_(same_namespace),
        requests_(std::move(requests)),
        selections_(std::move(selections)) {}

  Result<> serve() {
    files_.follow(config_);
    follow_uplink();
    return serve_control(
        {[this] { look(); }, [this] { return tick(); }, [this] { return files_.have_changed(); },
         [this] { read_rule_sets(); }, [this] { reload(); },
         [this] { log::info("counters: {}", engine_.counters()); },
         [this](const nlohmann::json& request) { return answer(request); },
         [this](const Unheard& unheard) {
           const auto found = engine_.take_bypasses();
           if (!found.empty()) unheard([&] { tell_bypassed(found); });
         }},
        std::move(requests_));
  }

  /// Before the engine stops: what comes from now on goes its usual way.
  void end() { keeper_.remove(); }

 private:
  bool tick() {
    proxies_.follow();
    return keeper_.groups_have_changed();
  }

  /// Index of an inbound's policy; empty: what reaches it is not our affair.
  std::optional<std::size_t> policy_of(std::size_t inbound) const {
    if (!config_.inbounds[inbound].auto_route.enabled) return std::nullopt;
    return static_cast<std::size_t>(std::ranges::count_if(
        config_.inbounds.begin(), config_.inbounds.begin() + static_cast<std::ptrdiff_t>(inbound),
        [](const config::TunInbound& tun) { return tun.auto_route.enabled; }));
  }

  void tell_bypassed(const std::vector<Bypasses::Destination>& bypasses) {
    std::vector<std::vector<nft::SetEndpoint>> found(policies_.size());
    for (const Bypasses::Destination& one : bypasses) {
      const auto policy = policy_of(one.inbound);
      const bool tcp = one.network == config::Network::tcp;
      if (policy) {
        found[*policy].push_back(
            {static_cast<std::uint8_t>(tcp ? IPPROTO_TCP : IPPROTO_UDP), one.endpoint});
      }
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i].empty()) continue;
      if (auto told = keeper_.bypass(i, std::move(found[i])); !told) {
        log::warn("{}: bypassed by hairpin, not by the kernel: {}", policies_[i].interface,
                  told.error().text());
      }
    }
  }

  /// Rules have changed: what they leave alone has to be found anew. False, and told: the kernel
  /// would go on leaving alone what new rules do not, so the old ones stay.
  bool forget_bypassed() {
    auto done = keeper_.forget_bypassed();
    if (!done) log::error("not reloaded: {}; all goes on as it was", done.error().text());
    return static_cast<bool>(done);
  }

  /// Flows that run keep what was decided for them.
  void read_rule_sets() {
    config::Config fresh = config_;
    if (!files_.read(fresh)) return;
    config::Problems problems;
    config::gather_addresses(fresh, problems);
    for (const config::Problem& problem : problems) {
      log::error("{}: {}; what is captured stays as it was", problem.where, problem.message);
    }
    auto policies = policies_with(fresh);
    if (!forget_bypassed()) return;
    if (problems.empty()) {
      if (auto changed = keeper_.change(policies)) {
        policies_ = std::move(policies);
      } else {
        log::error("what is captured stays as it was: {}", changed.error().text());
      }
    }
    engine_.change(fresh);
    config_ = std::move(fresh);
  }

  /// The same interfaces with the wishes of another configuration.
  std::vector<host::Policy> policies_with(const config::Config& config) const {
    auto policies = policies_;
    std::size_t next = 0;
    for (const config::TunInbound& inbound : config.inbounds) {
      if (inbound.auto_route.enabled) policies[next++].wanted = inbound.auto_route;
    }
    return policies;
  }

  nlohmann::json answer(const nlohmann::json& request) {
    auto answer = answer_about(engine_.groups(), request);
    if (answer.contains("selected")) {
      const auto kept = selections_.keep(config_.cache_file, request["select"], answer["selected"]);
      if (!kept) log::warn("this choice will not survive a restart: {}", kept.error().text());
    }
    return answer;
  }

  void look() {
    keeper_.refresh();
    follow_uplink();
  }

  void follow_uplink() {
    if (!config_.route.auto_detect_interface) return;
    std::vector<std::string> ours;
    for (const host::Policy& policy : policies_) {
      ours.push_back(policy.interface);
      ours.insert(ours.end(), policy.companions.begin(), policy.companions.end());
    }
    const auto uplink = host::find_uplink(ours);
    if (!uplink) return log::warn("{}", uplink.error().text());
    engine_.set_uplink(*uplink);
  }

  void reload() {
    if (!options_.reload) return log::warn("not reloaded: there is no configuration file");
    auto fresh = options_.reload();
    if (!fresh)
      return log::error("not reloaded: the configuration is wrong; all goes on as it was");
    if (auto settled = settle(config_, *fresh); !settled) {
      return log::error("not reloaded: {}. All goes on as it was", settled.error().text());
    }
    const auto names = resolve_outside(*fresh);
    if (!names) return log::error("not reloaded: {}; all goes on as it was", names.error().text());
    auto proxies =
        same_namespace_ ? host::LocalProxies::find(*fresh, *names) : host::LocalProxies();
    if (proxies) {
      if (auto kept = proxies->keep(); !kept) proxies = kept.error();
    }
    if (!proxies) {
      return log::error("not reloaded: {}; all goes on as it was", proxies.error().text());
    }
    auto policies = policies_with(*fresh);
    if (!forget_bypassed()) return;
    if (auto changed = keeper_.change(policies); !changed) {
      return log::error("not reloaded: {}; all goes on as it was", changed.error().text());
    }
    policies_ = std::move(policies);
    proxies_ = std::move(*proxies);
    for (const auto& [host, addresses] : *names) engine_.remember(host, addresses);
    engine_.change(*fresh);
    selections_.restore(fresh->cache_file, engine_.groups());
    log::set_level(fresh->log.level);
    config_ = *fresh;
    files_.follow(config_);
    follow_uplink();
    log::info("reloaded");
  }

  config::Config config_;
  const RunOptions& options_;
  Engine& engine_;
  host::Keeper& keeper_;
  std::vector<host::Policy> policies_;
  host::LocalProxies proxies_;
  bool same_namespace_;
  Fd requests_;
  RuleFiles files_;
  Selections selections_;
};

}  // namespace

int run(const config::Config& asked, const RunOptions& options) {
  config::Config config = asked;
  block_control_signals();
  if (auto limit = platform::raise_descriptor_limit(); !limit) {
    log::warn("{}", limit.error().text());
  }
  if (auto allowed = check_environment(config); !allowed) return fail(allowed.error());
  const unsigned workers = default_workers();
  const auto space = other_namespace(options.netns);
  if (!space) return fail(space.error());
  // Who has been handed a TUN and no rights cannot mark its sockets: the TUN's maker keeps them
  // out.
  const bool same_namespace = !*space;
  const bool marks = same_namespace && platform::may_administer_network();
  if (!same_namespace && config.route.auto_detect_interface) {
    return fail(
        Error{"auto_detect_interface looks where the interfaces are, and --netns puts them "
              "elsewhere than the outbound sockets; name one by default_interface"});
  }

  auto names = resolve_outside(config);
  if (!names) return fail(names.error());
  host::LocalProxies proxies;
  if (same_namespace) {
    auto found = host::LocalProxies::find(config, *names);
    if (!found) return fail(found.error());
    proxies = std::move(*found);
    if (auto kept = proxies.keep(); !kept) return fail(kept.error());
    for (const std::string& line : proxies.told()) log::info("{}", line);
  }

  // Links are made, and the host is kept, on a thread in the namespace of the interfaces; the
  // workers' sockets belong where this process was started.
  std::promise<Result<Made>> made_here;
  std::promise<Running*> engine_ready;
  std::future<Running*> running = engine_ready.get_future();
  Result<> served;
  std::thread control([&] {
    const auto entered = same_namespace ? Result<>() : platform::enter_network_namespace(*space);
    made_here.set_value(entered ? make_here(config, marks, workers)
                                : Result<Made>(Error(entered.error()).in("--netns")));
    give_up_administration();
    if (Running* task = running.get()) {
      served = task->serve();
      task->end();
    }
  });
  auto made = made_here.get_future().get();
  give_up_administration();
  if (!made) {
    engine_ready.set_value(nullptr);
    control.join();
    return fail(made.error());
  }
  auto policies = policies_of(config, made->links, marks);
  std::vector<std::string> descriptions;
  for (const stack::Link& link : made->links) descriptions.push_back(stack::describe(link));

  std::atomic<bool> lost = false;
  Engine engine(
      config, std::move(made->links), workers, marks,
      [&lost] {
        if (lost.exchange(true)) return;
        log::error("the interface was removed by somebody else; stopping");
        ::kill(::getpid(), SIGTERM);
      },
      std::move(made->surroundings));
  for (const auto& [host, addresses] : *names) engine.remember(host, addresses);
  Selections selections;
  selections.restore(config.cache_file, engine.groups());
  engine.start();
  if (same_namespace && !marks) {
    log::info("outbound sockets have no mark: that needs CAP_NET_ADMIN");
  }
  for (const std::string& text : descriptions) log::info("up: {}, {} workers", text, workers);
  // Here, not where the interfaces are: who asks looks for this process' namespace.
  Fd requests;
  if (auto opened = open_requests(::getpid())) {
    requests = std::move(*opened);
  } else {
    log::warn("hairpin select and groups will not be answered: {}", opened.error().text());
  }
  Running task(config, options, engine, made->keeper, std::move(policies), std::move(proxies),
               same_namespace, std::move(requests), std::move(selections));
  engine_ready.set_value(&task);
  control.join();
  engine.stop();
  if (!served) return fail(served.error());
  log::info("stopped");
  return lost ? kExitFailure : kExitOk;
}

int plan(const config::Config& asked) {
  config::Config config = asked;
  const auto proxies = host::LocalProxies::find(config);
  if (!proxies) return fail(proxies.error());
  for (const std::string& line : proxies->told()) std::printf("# %s\n", line.c_str());
  for (const config::TunInbound& inbound : config.inbounds) {
    const bool named = !inbound.interface_name.empty();
    const std::string name = named ? inbound.interface_name : "DEVICE";
    std::vector<IpAddr> addresses;
    for (const Prefix& prefix : inbound.address) addresses.push_back(prefix.address);
    std::printf("# %s%s\n", inbound.tag.empty() ? "tun" : inbound.tag.c_str(),
                inbound.auto_route.enabled ? "" : ": auto_route is off");
    if (!inbound.auto_route.enabled) continue;
    host::Policy policy{name,      stack::companions_of(inbound, name),
                        addresses, config::marks_of(config),
                        {},        inbound.auto_route};
    if (inbound.auto_route.redirect) {
      // The kernel chooses the ports.
      for (const Family family : {Family::v4, Family::v6}) {
        if (host::carries(policy, family)) policy.redirections.push_back({family, 0});
      }
      if (inbound.tcp_handshake == config::Handshake::faithful) {
        policy.queue = {inbound.auto_route.queue.value_or(config::kFirstQueue),
                        static_cast<std::uint16_t>(default_workers())};
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
