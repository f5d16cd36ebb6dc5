// Hardware addresses of the hosts that flows come from.
#pragma once

#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/asio.h"
#include "platform/neighbours.h"
#include "rule/rule.h"

namespace hairpin {

/// Shared by all workers. A client's address is looked up once in a while, not for each flow: the
/// kernel lists all its neighbours for it.
class Stations {
 public:
  explicit Stations(platform::Neighbours neighbours) : neighbours_(std::move(neighbours)) {}

  /// Empty: it is not on a link of ours.
  std::optional<rule::MacAddress> find(const IpAddr& client);

 private:
  struct Known {
    std::optional<rule::MacAddress> mac;
    Clock::time_point until;
  };
  struct Hash {
    std::size_t operator()(const IpAddr& address) const noexcept {
      return EndpointHash()({address, 0});
    }
  };
  std::mutex mutex_;
  platform::Neighbours neighbours_;
  std::unordered_map<IpAddr, Known, Hash> known_;
};

}  // namespace hairpin
