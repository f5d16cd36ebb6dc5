// Outbound connections that were made before their clients were answered (syn_gate.h). The worker
// that has made one and the worker that accepts its client need not be the same: they meet here.
//
// Asked once for each SYN and each accepted connection, never for other packets.
#pragma once

#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/asio.h"
#include "flow/flow.h"
#include "outbound/dialer.h"

namespace hairpin::dispatch {

/// The ends of a flow as its client has them, and where it came in.
struct FlowKey {
  Endpoint client;
  Endpoint destination;
  std::size_t inbound = 0;

  explicit FlowKey(const Flow& flow)
      : client(flow.client), destination(flow.destination), inbound(flow.inbound) {}
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};
struct FlowKeyHash {
  std::size_t operator()(const FlowKey& key) const noexcept {
    const EndpointHash hash;
    return (hash(key.client) * 31 + hash(key.destination)) * 31 + key.inbound;
  }
};

/// What the rules have decided, done.
struct Prepared {
  Flow flow;            ///< As the rules have left it.
  std::string through;  ///< The outbound's tag.
  outbound::DetachedConnection server;
};

/// Shared by all workers.
class PreparedConnections {
 public:
  /// At most `limit` at a time.
  explicit PreparedConnections(std::size_t limit) : limit_(limit) {}

  /// For how long a client that was let in may take to finish its handshake.
  static constexpr auto kPatience = std::chrono::seconds(3);

  std::size_t limit() const { return limit_; }
  /// May be old when it is read.
  std::size_t size() const { return size_.load(std::memory_order_relaxed); }

  /// In place of one that the same flow may have already, which is closed: 1 then, otherwise 0.
  /// `sequence`: of the SYN.
  std::size_t put(const FlowKey& key, Prepared prepared, std::uint32_t sequence = 0);
  bool contains(const FlowKey& key) const;
  std::optional<Prepared> take(const FlowKey& key);
  /// The same for a client that NAT has given another port: by the number of its SYN.
  std::optional<Prepared> take(const FlowKey& key, std::uint32_t sequence);
  /// Closes those that have waited too long, and returns their number.
  std::size_t sweep();

 private:
  struct Waiting {
    FlowKey key;
    Prepared prepared;
    Clock::time_point until;
    std::uint32_t sequence;
  };
  using List = std::list<Waiting>;
  List remove(const FlowKey& key);  ///< Requires: the lock.
  List remove(List::iterator which);

  const std::size_t limit_;
  mutable std::mutex mutex_;
  List waiting_;  ///< The oldest first.
  std::unordered_map<FlowKey, List::iterator, FlowKeyHash> by_key_;
  std::unordered_multimap<std::uint32_t, List::iterator> by_sequence_;
  std::atomic<std::size_t> size_ = 0;
};

}  // namespace hairpin::dispatch
