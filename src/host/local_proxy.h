// A proxy on this very host (ssh -D, Tor, another proxy core): what it sends must not be captured,
// or it would be sent to itself for ever.
//
// Whoever listens on the proxy's port is found, and kept out in one of two ways: by its user, where
// that is nobody else's; or by its control group, where it is alone in that, whose sockets are then
// marked as they are made. Where neither can be told from the programs that shall be captured,
// there is no way, and capturing would be refused.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "config/config.h"
#include "platform/names.h"
#include "platform/owner.h"

namespace hairpin::host {

/// What is known of a listener's owner.
struct Owner {
  std::uint32_t user = 0;
  std::string process;              ///< Name, for people.
  std::string group;                ///< Control group; empty: the root, or not known.
  bool alone_in_group = false;      ///< With processes that it has started.
  bool user_runs_others = true;     ///< Processes other than itself and those.
  bool sockets_are_marked = false;  ///< By `hairpin bypass`.
};

struct KeepOut {
  enum class How : std::uint8_t { already, user, group } how = How::already;
  std::uint32_t user = 0;
  std::string group;
  std::string told;  ///< One line for people.
};

/// Pure. Error: cannot be told from others, and what helps.
Result<KeepOut> keep_out(const Endpoint& proxy, const Owner& owner);

/// The group in which `hairpin bypass` puts what it runs.
inline constexpr const char* kBypassGroup = "hairpin-bypass";

/// Proxies of the configuration that are on this host: servers with loopback addresses, and those
/// in `own`. A name that is not in `names` is taken for another host's.
std::vector<Endpoint> local_proxies(const config::Config& config, const std::vector<IpAddr>& own,
                                    const platform::Names& names = {});

/// Keeps them out, and goes on doing so when they are started again.
class LocalProxies {
 public:
  /// Only looks. Users to be left out of capturing are added to `config`, from which the plan is
  /// made then.
  static Result<LocalProxies> find(config::Config& config, const platform::Names& names = {});

  /// One line for each.
  std::vector<std::string> told() const;

  /// Marks the sockets of those whose control group is left out.
  Result<> keep();

  /// Looks whether others listen now, and marks their sockets, too. Cheap when none do.
  void follow();

 private:
  struct Watched {
    Endpoint proxy;
    std::vector<platform::Listener> listeners;
    KeepOut how;
    Fd marking;
  };
  static Result<> settle(Watched& watched, Mark mark);

  Mark mark_;
  std::vector<Watched> watched_;
};

}  // namespace hairpin::host
