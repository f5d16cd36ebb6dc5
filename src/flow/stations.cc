#include "flow/stations.h"

#include "base/log.h"

namespace hairpin {

namespace {

/// An address may be another host's after that.
constexpr auto kKeep = std::chrono::seconds(5);
/// A host that is no neighbour may become one at any time.
constexpr auto kKeepNothing = std::chrono::seconds(1);
constexpr std::size_t kMost = 4096;

}  // namespace

std::optional<rule::MacAddress> Stations::find(const IpAddr& client) {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (const auto known = known_.find(client); known != known_.end() && now < known->second.until) {
    return known->second.mac;
  }
  if (known_.size() >= kMost) known_.clear();
  const auto found = neighbours_.find(client);
  if (!found) log::warn("rules on hardware addresses do not hold: {}", found.error().text());
  const std::optional<rule::MacAddress> mac = found ? *found : std::nullopt;
  known_[client] = {mac, now + (mac ? Clock::duration(kKeep) : Clock::duration(kKeepNothing))};
  return mac;
}

}  // namespace hairpin
