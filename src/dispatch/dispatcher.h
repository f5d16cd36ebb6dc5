// Decides for each flow and hands it to its outbound: the middle of the program.
//
//   tun → pump → translate → (kernel TCP) → TcpListener ─┐
//                          → (kernel UDP) → UdpListener ─┴→ Dispatcher → route → outbound → relay
#pragma once

#include <memory>
#include <vector>

#include "base/asio.h"
#include "base/fd.h"
#include "config/config.h"
#include "flow/worker.h"
#include "outbound/outbound.h"
#include "route/router.h"

namespace hairpin::dispatch {

/// One per worker. The router is shared and never changes.
class Dispatcher {
 public:
  Dispatcher(Worker& worker, const config::Config& config, const route::Router& router,
             bool mark_sockets)
      : worker_(worker),
        router_(router),
        outbounds_(outbound::make_outbounds(config, worker, mark_sockets)) {}

  route::Decision decide(const Flow& flow) const { return router_.decide(flow); }
  outbound::Outbound& outbound(const route::Decision& decision) const {
    return *outbounds_[decision.outbound];
  }

  /// Connects the flow through its outbound and relays it to the end. On any failure the client is
  /// reset, with one line in the log that names the flow and the cause.
  Task<> serve_tcp(Fd client, Flow flow, Clock::duration idle);

 private:
  Worker& worker_;
  const route::Router& router_;
  std::vector<std::unique_ptr<outbound::Outbound>> outbounds_;
};

}  // namespace hairpin::dispatch
