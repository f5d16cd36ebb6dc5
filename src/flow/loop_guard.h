// Knows our own outbound connections, to recognise one that comes back to us as a captured flow.
//
// The first guard against loops is the mark on every outbound socket, which the nftables rule of
// the link refuses on the outer device. This is the second, for what the mark does not reach: a
// socket whose mark could not be set, or packets that lost it on their way round.
#pragma once

#include <mutex>
#include <unordered_set>
#include <utility>

#include "base/address.h"
#include "flow/flow.h"

namespace hairpin {

/// Shared by all workers.
class LoopGuard {
 public:
  /// Forgets its connection when it goes.
  class Entry {
   public:
    Entry() = default;
    Entry(LoopGuard* guard, std::size_t key) : guard_(guard), key_(key) {}
    Entry(Entry&& other) noexcept
        : guard_(std::exchange(other.guard_, nullptr)), key_(other.key_) {}
    Entry& operator=(Entry&& other) noexcept {
      std::swap(guard_, other.guard_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~Entry() {
      if (guard_ != nullptr) guard_->forget(key_);
    }

   private:
    LoopGuard* guard_ = nullptr;
    std::size_t key_ = 0;
  };

  /// A TCP connection of ours from `local` to `remote`.
  Entry remember_tcp(const Endpoint& local, const Endpoint& remote) {
    return remember(key(local, remote));
  }
  /// A UDP socket of ours: it has any address, so only its port is known.
  Entry remember_udp(Family family, std::uint16_t port) { return remember(udp_key(family, port)); }

  bool is_own_tcp(const Flow& flow) const { return knows(key(flow.client, flow.destination)); }
  /// Requires: the client's address is one of the capturing interface. That is the one the kernel
  /// gives to a socket without one; other hosts may use the same port.
  bool is_own_udp(const Flow& flow) const {
    return knows(udp_key(flow.client.address.family(), flow.client.port));
  }

 private:
  static std::size_t key(const Endpoint& local, const Endpoint& remote) {
    const EndpointHash hash;
    return hash(local) * 31 + hash(remote);
  }
  static std::size_t udp_key(Family family, std::uint16_t port) {
    return port | (family == Family::v6 ? 0x10000U : 0U);
  }

  Entry remember(std::size_t key) {
    const std::lock_guard lock(mutex_);
    known_.insert(key);
    return {this, key};
  }
  void forget(std::size_t key) {
    const std::lock_guard lock(mutex_);
    known_.erase(known_.find(key));
  }
  bool knows(std::size_t key) const {
    const std::lock_guard lock(mutex_);
    return known_.contains(key);
  }

  mutable std::mutex mutex_;
  std::unordered_multiset<std::size_t> known_;
};

}  // namespace hairpin
