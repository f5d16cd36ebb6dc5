// The running program: workers, and on each of them the parts of every link. The only place that
// puts concrete classes together.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/config.h"
#include "dispatch/dispatcher.h"
#include "dispatch/prepared.h"
#include "flow/counters.h"
#include "flow/loop_guard.h"
#include "stack/link.h"

namespace hairpin::app {

/// What looks up who has opened a flow. Without it no rule on that holds.
struct Surroundings {
  std::optional<platform::SocketFinder> sockets;   ///< Local processes.
  std::optional<platform::Neighbours> neighbours;  ///< Hardware addresses.
  bool takes_bypasses = false;                     ///< Somebody calls take_bypasses.
  std::function<bool(int socket)> protect = {};    ///< Of outbound sockets: platform::Binding.
};

class Engine {
 public:
  /// Sets SIGPIPE to be ignored: splice(2) to a socket that has been reset raises it, and has no
  /// flag against that.
  ///
  /// `links[i]` belongs to `config.inbounds[i]` and was opened for `workers` workers. With
  /// `same_namespace` our outbound sockets live where the links are, and are marked. `link_lost` is
  /// called, on any thread, when somebody has removed a device. `surroundings` look where the
  /// links are.
  Engine(const config::Config& config, std::vector<stack::Link> links, unsigned workers,
         bool same_namespace, stack::Lost link_lost, Surroundings surroundings = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Starts a thread for each worker. Returns at once.
  void start();
  /// Flows are decided by `config` from now on; those that run go on. Requires: the same inbounds,
  /// in what belongs to their links.
  void change(const config::Config& config);
  /// What the name of a proxy has been resolved to.
  void remember(const std::string& host, const std::vector<IpAddr>& addresses);
  /// The interface that outbound sockets are bound to from now on, where they follow it; tells of
  /// it if it is another. Empty: none.
  void set_uplink(const std::string& interface);
  /// What the groups of outbounds choose. Valid until `change`.
  const outbound::Groups& groups() const { return *policy_->groups; }
  /// What rules have found to be left alone since the last call, by the policy of now.
  std::vector<Bypasses::Destination> take_bypasses();
  /// Waits until no TCP flow is open, or nothing has moved for a while: a program that has ended
  /// may have left bytes behind that the kernel is still sending.
  void drain();
  /// Ends all flows, removes rules and devices. Idempotent.
  void stop();

  /// All counters that are not zero, as "name=value name=value …".
  std::string counters() const;

 private:
  struct Source;
  struct PerWorker;
  std::uint64_t total(Count what) const;

  std::shared_ptr<dns::Store> store_;
  std::shared_ptr<const dispatch::Policy> policy_;
  LoopGuard loop_guard_;
  Bypasses bypasses_;
  dispatch::PreparedConnections prepared_;
  std::unique_ptr<Who> who_;
  std::unique_ptr<Stations> stations_;
  stack::Lost link_lost_;
  std::string uplink_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<std::unique_ptr<PerWorker>> workers_;
  std::vector<std::thread> threads_;
};

/// One worker for each CPU that this process may run on.
unsigned default_workers();

}  // namespace hairpin::app
