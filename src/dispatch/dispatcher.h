// Decides for each flow and hands it to its outbound: the middle of the program.
//
//   tun → pump → translate → (kernel TCP) → TcpListener ─┐
//                          → (kernel UDP) → UdpListener ─┴→ Dispatcher → route → outbound → relay
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/asio.h"
#include "base/fd.h"
#include "config/config.h"
#include "dns/service.h"
#include "dns/store.h"
#include "flow/worker.h"
#include "outbound/outbound.h"
#include "route/router.h"

namespace hairpin::dispatch {

/// What flows are decided by: shared by all workers, and never changed.
struct Policy {
  explicit Policy(config::Config from)
      : config(std::move(from)),
        router(config),
        dns(config.dns.servers.empty() ? nullptr : std::make_shared<const dns::Rules>(config)) {}

  config::Config config;
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

  /// Whether any rule asks for the local process.
  bool asks_process() const {
    return policy->router.asks_process() || (policy->dns && policy->dns->asks_process());
  }
  /// Gives the flow the name that its client has asked for. False: its address stands for a name
  /// that nobody knows any more.
  bool identify(Flow& flow) const;

  route::Decision decide(const Flow& flow, std::size_t from = 0) const {
    return policy->router.decide(flow, from);
  }
  /// Requires: a rule has decided.
  const config::RouteRule& rule(const route::Decision& decision) const {
    return policy->config.route.rules[*decision.rule];
  }
  const std::shared_ptr<outbound::Outbound>& outbound(const route::Decision& decision) const {
    return outbounds[decision.outbound];
  }
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
  Task<> serve_tcp(Fd client, Flow flow, Clock::duration idle);

 private:
  std::shared_ptr<const Generation> make_generation(
      std::shared_ptr<const Policy> policy,
      std::vector<std::shared_ptr<outbound::Outbound>> outbounds);
  /// False after telling why not; the client is gone then.
  bool watch(Fd client, const Flow& flow, std::optional<Descriptor>& out);

  Worker& worker_;
  bool mark_sockets_;
  std::shared_ptr<dns::Store> store_;
  std::shared_ptr<const Generation> generation_;
};

}  // namespace hairpin::dispatch
