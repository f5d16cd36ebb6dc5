// Decides for each flow and hands it to its outbound: the middle of the program.
//
//   tun → pump → translate → (kernel TCP) → TcpListener ─┐
//                          → (kernel UDP) → UdpListener ─┤
//   tun → TCP in user space → TcpBridge ─────────────────┴→ Dispatcher → route → outbound → relay
//
// Where a client is answered only when its destination is (syn_gate.h), a TCP flow passes twice:
// `approach` decides and connects, `serve_prepared` relays.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/asio.h"
#include "config/config.h"
#include "dispatch/capture.h"
#include "dispatch/prepared.h"
#include "dispatch/syn_answer.h"
#include "dns/service.h"
#include "dns/store.h"
#include "flow/reject_window.h"
#include "flow/stream.h"
#include "flow/worker.h"
#include "outbound/outbound.h"
#include "route/router.h"

namespace hairpin::dispatch {

/// How long a flow waits for the addresses of its name.
inline constexpr auto kResolvePatience = std::chrono::seconds(10);

/// What flows are decided by: shared by all workers, and never changed.
struct Policy {
  /// `epoch` is of dns::Store::configure. `before`: what there was; null: nothing.
  Policy(config::Config from, std::uint64_t epoch, const Policy* before = nullptr)
      : config(std::move(from)),
        groups(outbound::make_groups(config, before == nullptr ? nullptr : &before->config,
                                     before == nullptr ? nullptr : before->groups)),
        router(config),
        dns(config.dns.servers.empty() ? nullptr
                                       : std::make_shared<const dns::Rules>(config, epoch)) {}

  config::Config config;
  std::shared_ptr<const outbound::Groups> groups;
  route::Router router;
  std::shared_ptr<const dns::Rules> dns;  ///< Null: there is no server.
};

/// A policy, and one worker's outbounds for it. Whoever was decided by it may go on with it when
/// there is another.
struct Generation {
  std::shared_ptr<const Policy> policy;
  std::vector<std::shared_ptr<outbound::Outbound>> outbounds;
  std::shared_ptr<dns::Store> store;
  std::shared_ptr<dns::Service> names;  ///< Null: there is no server.
  Stations* stations = nullptr;         ///< Null: no rule asks for hardware addresses.
  /// How often rules have rejected: a reload begins anew.
  std::shared_ptr<RejectWindows> rejections = std::make_shared<RejectWindows>();

  /// Whether any rule asks for the local process.
  bool asks_process() const {
    return policy->router.asks_process() || (policy->dns && policy->dns->asks_process());
  }
  /// Gives the flow its client's hardware address, and the name that the client has asked for, as
  /// far as rules ask for them. False: its address stands for a name
  /// that nobody knows any more.
  bool identify(Flow& flow) const;

  route::Decision decide(const Flow& flow, std::size_t from = 0) const {
    return policy->router.decide(flow, from);
  }
  /// Requires: a rule has decided.
  const config::RouteRule& rule(const route::Decision& decision) const {
    return policy->config.route.rules[*decision.rule];
  }
  /// Whether a client that is rejected is told; counts, once for each answer.
  bool tells(const route::Decision& decision) const;
  /// Whether a TCP flow goes on, or ends here.
  bool carries(const route::Decision& decision) const {
    return config::has_outbound(decision.action) &&
           outbound(decision)->carries(config::Network::tcp);
  }
  const std::shared_ptr<outbound::Outbound>& outbound(const route::Decision& decision) const {
    return outbounds[decision.outbound];
  }
};

/// How far a flow has come whose client has not been answered yet.
struct Approach {
  SynAnswer answer;
  bool dialled = false;
  std::optional<Prepared> prepared = {};  ///< Empty and let in: to be decided when it is accepted.
};

/// One per worker.
class Dispatcher {
 public:
  /// `store` is shared by all, and has been configured for `policy`.
  Dispatcher(Worker& worker, std::shared_ptr<const Policy> policy,
             std::shared_ptr<dns::Store> store, bool mark_sockets);

  /// From now on flows are decided by `policy`. Those that run keep the outbound they have, and so
  /// does everybody where its settings are the same.
  void change(std::shared_ptr<const Policy> policy);

  const std::shared_ptr<const Generation>& generation() const { return generation_; }

  /// Connects the flow through its outbound and relays it to the end. On any failure the client is
  /// reset, with one line in the log that names the flow and the cause.
  Task<> serve_tcp(DetachedStream client, Flow flow, Clock::duration idle);

  /// Decides the flow and connects it, without a client's socket. A failure has its line in the log
  /// and its counter.
  /// `may_bypass`: the kernel can be left this very connection (SynAnswer::bypass).
  Task<Approach> approach(Flow flow, bool may_bypass = false);
  /// Relays what `approach` has connected, on whichever worker.
  void serve_prepared(DetachedStream client, Prepared prepared, Clock::duration idle);

  /// Whether the flow is an outbound connection of our own that has come back to us; told and
  /// counted then.
  bool is_loop(const Capture& capture, const Flow& flow);
  /// Whether flows are decided by who has opened them.
  bool asks_process() const;

  /// Of a flow that has been decided; `asked` is where the client sends. Where a rule leaves it
  /// alone, and would leave alone all that goes to the same destination, the kernel is to be told.
  void note_bypass(const Generation& generation, const route::Decision& decision, const Flow& flow,
                   const Endpoint& asked);

 private:
  class Client;
  enum class Walked : std::uint8_t {
    decided,
    refused,  ///< Told and counted.
    unheard,  ///< Only the client's first bytes can tell, and it has not been accepted.
  };

  std::shared_ptr<const Generation> make_generation(
      std::shared_ptr<const Policy> policy,
      std::vector<std::shared_ptr<outbound::Outbound>> outbounds);
  /// Asks the rules about a TCP flow until one decides, and does meanwhile what they say. `client`
  /// is null while it has not been accepted.
  Task<Walked> walk(const Generation& generation, Client* client, Flow& flow,
                    route::Decision& decision);
  /// Whether the flow goes to an outbound that takes it; told and counted if not.
  bool carries(const Generation& generation, const route::Decision& decision, const Flow& flow);
  /// As the generation does; false is told and counted.
  bool identify(const Generation& generation, Flow& flow);
  /// Of a flow that has but a name, for a rule that says so. False: told and counted.
  Task<bool> resolve(const Generation& generation, const config::RouteRule& rule, Flow& flow);
  /// Connects the flow through the outbound that `decision` names; tells why not.
  Task<Result<outbound::Connection>> connect(const Flow& flow, outbound::Outbound& through);
  /// Whether a flow that comes to nothing is told in the log. A flood of SYNs shall not fill it.
  bool may_tell();
  /// How a SYN is answered whose flow ends here.
  SynAnswer refusal(const Generation& generation, const route::Decision& decision);
  void relay(Stream client, outbound::Connection server, const Flow& flow,
             const std::string& through, Clock::duration idle);

  Worker& worker_;
  bool mark_sockets_;
  std::shared_ptr<dns::Store> store_;
  Clock::time_point telling_since_;
  unsigned told_ = 0;    ///< Since then.
  unsigned untold_ = 0;  ///< The same.
  std::shared_ptr<const Generation> generation_;
};

}  // namespace hairpin::dispatch
