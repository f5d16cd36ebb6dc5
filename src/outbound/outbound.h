// The ways out. One object per configured outbound and worker: nothing is shared between threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/asio.h"
#include "base/result.h"
#include "config/config.h"
#include "flow/flow.h"
#include "flow/worker.h"
#include "outbound/dialer.h"
#include "outbound/group_state.h"
#include "wire/target.h"

namespace hairpin::outbound {

/// What an outbound is told of a flow's destination.
inline Target target_of(const Flow& flow) {
  return {flow.asked_for ? flow.domain : std::string(), flow.destination};
}

/// A server as a destination: its name is for whoever connects to resolve.
inline Target target_of(const config::Server& server) {
  if (const auto address = IpAddr::parse(server.host)) return {"", {*address, server.port}};
  return {server.host, {{}, server.port}};
}

/// Who takes what comes back for one UDP association.
class UdpSink {
 public:
  virtual ~UdpSink() = default;
  /// Datagrams from `from`; Worker::kHeadroom bytes before the first payload may be overwritten.
  /// Valid during the call only.
  virtual void deliver(const Endpoint& from, const platform::Burst& burst) = 0;
  /// A target that was sent to by its name has this address.
  virtual void reached(const Target& /*target*/, const Endpoint& /*real*/) {}
  /// The path is of no more use. It must not be destroyed during the call.
  virtual void failed(const Error& error) = 0;
};

/// One client's way through one outbound: any remote may be sent to, and any may answer
/// (endpoint-independent mapping and filtering, RFC 4787). Closed by its destructor.
class UdpPath {
 public:
  virtual ~UdpPath() = default;
  virtual void send(const Target& to, const platform::Burst& burst) = 0;
};

/// Whoever uses one holds it: a change of the configuration may replace it meanwhile.
class Outbound : public std::enable_shared_from_this<Outbound> {
 public:
  explicit Outbound(std::string tag) : tag_(std::move(tag)) {}
  virtual ~Outbound() = default;
  Outbound(const Outbound&) = delete;
  Outbound& operator=(const Outbound&) = delete;

  const std::string& tag() const { return tag_; }
  /// False when flows of this kind end here: TCP is reset, UDP answered with ICMP.
  virtual bool carries(config::Network network) const = 0;
  /// Whether connections have something attached, and so stay on the worker that has made them.
  virtual bool tracks_connections() const { return false; }
  /// Requires: carries(tcp).
  virtual Task<Result<Connection>> connect(Target to) = 0;
  /// Requires: carries(udp). `sink` must outlive the path.
  virtual Result<std::unique_ptr<UdpPath>> open_udp(UdpSink& sink) = 0;

 private:
  std::string tag_;
};

/// What there is already: an outbound whose settings are the same is kept, unless one that it goes
/// through or chooses from is not.
struct Existing {
  const config::Config* config = nullptr;  ///< Null: nothing.
  const Groups* groups = nullptr;
  std::span<const std::shared_ptr<Outbound>> outbounds;
};

/// All outbounds of a configuration, in its order, for one worker. `groups` are made of the same
/// configuration. With `mark_sockets` false no socket is marked: they are in another network
/// namespace than what is captured.
std::vector<std::shared_ptr<Outbound>> make_outbounds(const config::Config& config,
                                                      const Groups& groups, Worker& worker,
                                                      bool mark_sockets, const Existing& existing);

/// A way out of its own, beside those of the configuration. Names of servers that no
/// `domain_resolver` is given for are the system's to resolve.
std::shared_ptr<Outbound> make_direct(std::string tag, const config::Config& config,
                                      const config::Dial& dial, Worker& worker, bool mark_sockets);

}  // namespace hairpin::outbound
