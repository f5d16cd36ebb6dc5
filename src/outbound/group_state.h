// What all workers share of one group of outbounds: what is known of its members, and which one is
// used. Measured once, whoever asks; read without locks by every new flow.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/asio.h"
#include "base/result.h"
#include "config/config.h"

namespace hairpin::outbound {

using Delay = std::chrono::milliseconds;

/// What is known of one member.
struct Health {
  bool failed = false;         ///< The last attempt has.
  std::optional<Delay> delay;  ///< Empty: not measured.
};

/// The fastest member that may be used, unless `current` is slower by no more than `tolerance`.
/// Those that were not measured come behind those that were, and those that have failed last of
/// all; among equals `current`, then the first. Empty: none may be used.
std::optional<std::size_t> choose_fastest(std::span<const Health> members,
                                          const std::vector<bool>& usable, std::size_t current,
                                          Delay tolerance);
/// The first that may be used and has not failed; if all have, the first that may be used.
std::optional<std::size_t> choose_first(std::span<const Health> members,
                                        const std::vector<bool>& usable);

/// One group. For any thread.
class GroupState {
 public:
  /// Takes up what `before` knows of members that have the same tags; null: nothing.
  GroupState(std::string tag, config::Group settings, const GroupState* before);

  const std::string& tag() const { return tag_; }
  const config::Group& settings() const { return settings_; }
  std::size_t size() const { return members_.size(); }
  const std::string& member(std::size_t index) const { return settings_.outbounds[index]; }

  /// The member in use.
  std::size_t current(config::Network network) const { return cell(network).load(); }
  /// True if that is another one than before.
  bool use(config::Network network, std::size_t member);
  /// Of a selector, by hand. Error: it has no such member, or is no selector.
  Result<> select(const std::string& member);

  std::vector<Health> health() const;
  void measured(std::size_t member, Delay delay);
  void failed(std::size_t member);
  /// A connection was made: it has not failed, whatever was known.
  void works(std::size_t member);
  /// A member that has failed is due for another attempt. True for one asker only, then not again
  /// for as long as `retry_after`.
  bool claim_retry(std::size_t member);

  /// Who measures: the first to ask. `wake` is called, on any thread, when there is use again.
  bool claim_measuring(std::function<void()> wake);
  void touch();  ///< The group is used.
  /// Nobody has used it for `idle_timeout`: who measures may rest, until `wake`.
  bool rest_if_idle();
  void retire() { retired_ = true; }  ///< There is a newer state.
  bool retired() const { return retired_; }

  /// `told` is called, on any thread, when another member is used from now on. False from it: it
  /// needs not be called any more.
  void on_change(std::function<bool(const std::string& member)> told);

 private:
  /// Milliseconds; or
  static constexpr std::int64_t kUnknown = 0;
  static constexpr std::int64_t kFailed = -1;
  struct Member {
    std::atomic<std::int64_t> delay = kUnknown;
    std::atomic<bool> failed = false;
    std::atomic<Clock::rep> retry_at = 0;
  };
  const std::atomic<std::size_t>& cell(config::Network network) const {
    return current_[network == config::Network::udp ? 1 : 0];
  }
  void tell(const std::string& member);

  std::string tag_;
  config::Group settings_;
  std::vector<Member> members_;
  std::array<std::atomic<std::size_t>, 2> current_{};  ///< By network.
  std::atomic<bool> chosen_ = false;                   ///< By hand.
  std::atomic<Clock::rep> last_used_;
  std::atomic<bool> resting_ = false;
  std::atomic<bool> retired_ = false;
  mutable std::mutex mutex_;  ///< Of what follows.
  std::function<void()> wake_;
  std::vector<std::function<bool(const std::string&)>> listeners_;
};

/// All groups of a configuration, by tag.
struct Groups {
  std::map<std::string, std::shared_ptr<GroupState>> by_tag;
};

/// `before` itself where nothing has changed that groups are made of.
std::shared_ptr<const Groups> make_groups(const config::Config& config,
                                          const config::Config* config_before,
                                          const std::shared_ptr<const Groups>& before);

}  // namespace hairpin::outbound
