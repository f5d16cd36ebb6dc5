// What the DNS module knows: answers, questions on their way, the names of addresses. Shared by all
// workers, and outlives changes of the configuration.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "dns/cache.h"
#include "dns/fake_pool.h"

namespace hairpin::dns {

using Outcome = Result<AnswerPtr>;
/// Called on any thread.
using Landed = std::function<void(const Outcome&)>;

/// For any thread.
class Store {
 public:
  /// All answers are forgotten: servers may be others now, under the same tags. Returns a number
  /// for keys, so that those who still go by the old configuration do not meet the new one's.
  std::uint64_t configure(const config::Dns& dns, const config::CacheFile& file);
  /// Nobody is told anything any more.
  void close();

  Cache::Hit find(const std::string& key);
  void keep(const std::string& key, const AnswerPtr& answer);

  /// A question is asked once, whoever waits for its answer. True: it is on its way, and `landed`
  /// will be called. False: the caller asks, and must call `land`.
  bool board(const std::string& key, Landed landed);
  void land(const std::string& key, const Outcome& outcome);

  /// Addresses that a client was told for a name lead to it until another name has them.
  void remember(const std::vector<IpAddr>& addresses, const std::string& name);

  std::optional<IpAddr> fake_address(const std::string& name, Family family);

  struct Identity {
    std::string name;   ///< Empty: not known.
    bool fake = false;  ///< The address only stands for the name.
  };
  Identity identify(const IpAddr& address);

 private:
  struct Known {
    std::string name;
    std::list<IpAddr>::iterator place;
  };
  struct AddressHash {
    std::size_t operator()(const IpAddr& address) const noexcept {
      return EndpointHash()({address, 0});
    }
  };
  void set_fake_pool(const config::Dns& dns, const config::CacheFile& file);

  std::mutex mutex_;
  std::uint64_t epoch_ = 0;
  bool disable_expire_ = false;
  bool reverse_mapping_ = false;
  Cache cache_{4096};
  std::unordered_map<std::string, std::vector<Landed>> flights_;
  std::list<IpAddr> by_use_;  ///< The one that was told last stands first.
  std::unordered_map<IpAddr, Known, AddressHash> names_;
  std::string pool_ranges_;
  std::string pool_path_;
  std::unique_ptr<FakePool> pool_;
  bool closed_ = false;
};

}  // namespace hairpin::dns
