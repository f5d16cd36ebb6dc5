// Destinations that the kernel is to leave alone from now on: found by workers, and told to the
// kernel by whoever keeps the host set up.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/address.h"
#include "flow/flow.h"

namespace hairpin {

class Bypasses {
 public:
  struct Destination {
    std::size_t inbound = 0;  ///< Index in Config::inbounds.
    Network network = Network::tcp;
    Endpoint endpoint;
    std::shared_ptr<const void> policy;  ///< By which it was decided.
  };

  /// On any thread. What is too much at a time is left out: its next flow says it again.
  void add(Destination destination) {
    const std::lock_guard lock(mutex_);
    if (added_.size() < kMost) added_.push_back(std::move(destination));
  }

  /// What has been added since the last call.
  std::vector<Destination> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(added_, {});
  }

 private:
  static constexpr std::size_t kMost = 4096;

  std::mutex mutex_;
  std::vector<Destination> added_;
};

}  // namespace hairpin
