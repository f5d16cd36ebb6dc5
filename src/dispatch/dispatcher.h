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
#include "flow/worker.h"
#include "outbound/outbound.h"
#include "route/router.h"

namespace hairpin::dispatch {

/// What flows are decided by: shared by all workers, and never changed.
struct Policy {
  /// `before`: what there was; null: nothing.
  explicit Policy(config::Config from, const Policy* before = nullptr)
      : config(std::move(from)),
        groups(outbound::make_groups(config, before == nullptr ? nullptr : &before->config,
                                     before == nullptr ? nullptr : before->groups)),
        router(config) {}

  config::Config config;
  std::shared_ptr<const outbound::Groups> groups;
  route::Router router;
};

/// A policy, and one worker's outbounds for it. Whoever was decided by it may go on with it when
/// there is another.
struct Generation {
  std::shared_ptr<const Policy> policy;
  std::vector<std::shared_ptr<outbound::Outbound>> outbounds;

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
  Dispatcher(Worker& worker, std::shared_ptr<const Policy> policy, bool mark_sockets);

  /// From now on flows are decided by `policy`. Those that run keep the outbound they have, and so
  /// does everybody where its settings are the same.
  void change(std::shared_ptr<const Policy> policy);

  const std::shared_ptr<const Generation>& generation() const { return generation_; }

  /// Connects the flow through its outbound and relays it to the end. On any failure the client is
  /// reset, with one line in the log that names the flow and the cause.
  Task<> serve_tcp(Fd client, Flow flow, Clock::duration idle);

 private:
  /// False after telling why not; the client is gone then.
  bool watch(Fd client, const Flow& flow, std::optional<Descriptor>& out);

  Worker& worker_;
  bool mark_sockets_;
  std::shared_ptr<const Generation> generation_;
};

}  // namespace hairpin::dispatch
