#include "host/local_proxy.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/log.h"
#include "platform/cgroup.h"
#include "platform/interface.h"

namespace hairpin::host {

namespace {

constexpr std::uint32_t kRoot = 0;

pid_t parent_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  char state = 0;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

/// One of `family`, or started by one of them.
bool belongs(pid_t process, const std::set<pid_t>& family) {
  constexpr int kGenerations = 64;
  for (int i = 0; i < kGenerations && process > 1; ++i) {
    if (family.contains(process)) return true;
    process = parent_of(process);
  }
  return false;
}

bool user_runs_others(std::uint32_t user, const std::set<pid_t>& family) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const auto number = parse_number(entry.path().filename().string(), INT32_MAX);
    struct stat status{};
    if (!number || ::stat(entry.path().c_str(), &status) != 0 || status.st_uid != user) continue;
    if (!belongs(static_cast<pid_t>(*number), family)) return true;
  }
  return false;
}

Result<Owner> owner_of(const platform::Listener& listener) {
  const auto holders = platform::holders_of(listener.inode);
  if (holders.empty()) {
    return Error{"nobody can be seen who listens on " + listener.address.text() +
                 " (it may be in a container)"};
  }
  std::set<pid_t> family;
  for (const platform::Process& process : holders) family.insert(process.number);
  Owner owner;
  owner.user = listener.user;
  owner.process = holders.front().name;
  owner.user_runs_others = listener.user == kRoot || user_runs_others(listener.user, family);
  if (const auto group = platform::cgroup_of(*family.begin())) owner.group = *group;
  owner.sockets_are_marked = owner.group == kBypassGroup;
  if (owner.group.empty()) return owner;
  const auto members = platform::cgroup_members(owner.group);
  owner.alone_in_group = members && std::ranges::all_of(*members, [&family](pid_t member) {
                           return belongs(member, family);
                         });
  return owner;
}

}  // namespace

Result<KeepOut> keep_out(const Endpoint& proxy, const Owner& owner) {
  const std::string who = "the proxy " + proxy.text() + " is " + owner.process + " on this host: ";
  if (owner.sockets_are_marked) {
    return KeepOut{KeepOut::How::already, 0, "", who + "started by hairpin bypass, not captured"};
  }
  if (!owner.user_runs_others) {
    return KeepOut{KeepOut::How::user, owner.user, "",
                   who + "its user " + std::to_string(owner.user) + " is not captured"};
  }
  if (owner.alone_in_group) {
    return KeepOut{KeepOut::How::group, 0, owner.group,
                   who + "its control group " + owner.group + " is not captured"};
  }
  return Error{who + "its own connections cannot be told from others' (user " +
               std::to_string(owner.user) + " and control group /" + owner.group +
               " have other processes), and would be captured and sent to itself. Start it by "
               "\"hairpin bypass -- " +
               owner.process +
               " ...\", or as a service or a user of its own; or leave it out with "
               "exclude_uid or exclude_cgroup"};
}

std::vector<Endpoint> local_proxies(const config::Config& config, const std::vector<IpAddr>& own,
                                    const platform::Names& names) {
  std::vector<Endpoint> proxies;
  for (const config::Outbound& outbound : config.outbounds) {
    const config::Server* server = config::first_hop_of(outbound);
    if (server == nullptr) continue;
    std::vector<IpAddr> addresses;
    if (const auto address = IpAddr::parse(server->host)) addresses.push_back(*address);
    if (server->host == "localhost") addresses.push_back(*IpAddr::parse("127.0.0.1"));
    if (const auto resolved = names.find(server->host); resolved != names.end()) {
      addresses = resolved->second;
    }
    for (const IpAddr& address : addresses) {
      const bool here = address.is_loopback() || std::ranges::find(own, address) != own.end();
      const Endpoint proxy{address, server->port};
      const bool known = std::ranges::find(proxies, proxy) != proxies.end();
      if (here && !known) proxies.push_back(proxy);
    }
  }
  return proxies;
}

namespace {

/// The administrator has left it out already.
bool is_left_out(const config::AutoRoute& wanted, const Owner& owner) {
  const auto has = [&owner](const std::vector<UidRange>& ranges) {
    return std::ranges::any_of(ranges, [&owner](const UidRange& range) {
      return range.first <= owner.user && owner.user <= range.last;
    });
  };
  const auto in = [&owner](const std::vector<std::string>& groups) {
    return std::ranges::any_of(groups, [&owner](const std::string& group) {
      return owner.group == group || owner.group.starts_with(group + "/");
    });
  };
  if (has(wanted.exclude_uid) || in(wanted.exclude_cgroup)) return true;
  if (!wanted.include_uid.empty() && !has(wanted.include_uid)) return true;
  return !wanted.include_cgroup.empty() && !in(wanted.include_cgroup);
}

bool leaves_out_this_host(const config::AutoRoute& wanted) {
  const auto has_lo = [](const std::vector<std::string>& names) {
    return std::ranges::find(names, "lo") != names.end();
  };
  return has_lo(wanted.exclude_interface) ||
         (!wanted.include_interface.empty() && !has_lo(wanted.include_interface));
}

}  // namespace

Result<> LocalProxies::settle(Watched& watched, Mark mark) {
  if (watched.how.how != KeepOut::How::group) return {};
  auto marking = platform::mark_sockets_of(watched.how.group, mark);
  if (!marking) return marking.error();
  watched.marking = std::move(*marking);
  return {};
}

Result<LocalProxies> LocalProxies::find(config::Config& config, const platform::Names& names) {
  LocalProxies all;
  all.mark_ = config.route.default_mark;
  const bool captures = std::ranges::any_of(config.inbounds, [](const config::TunInbound& tun) {
    return tun.auto_route.enabled && !leaves_out_this_host(tun.auto_route);
  });
  if (!captures) return all;
  const auto own = platform::local_addresses();
  if (!own) return own.error();
  for (const Endpoint& proxy : local_proxies(config, *own, names)) {
    auto listeners = platform::find_listeners(proxy);
    if (!listeners) return listeners.error();
    const bool by_name = std::ranges::any_of(names, [&proxy](const auto& name) {
      return std::ranges::find(name.second, proxy.address) != name.second.end();
    });
    if (listeners->empty() && by_name) continue;  // another address of the name is meant
    if (listeners->empty()) {
      return Error{"nobody listens on " + proxy.text() +
                   " yet: start the proxy first, for what it sends must not be captured, and it "
                   "cannot be told who will"};
    }
    const auto owner = owner_of(listeners->front());
    if (!owner) return owner.error();
    const bool left_out = std::ranges::all_of(config.inbounds, [&](const config::TunInbound& tun) {
      return !tun.auto_route.enabled || is_left_out(tun.auto_route, *owner);
    });
    if (left_out) continue;
    auto how = keep_out(proxy, *owner);
    if (!how) return how.error();
    Watched watched{proxy, std::move(*listeners), std::move(*how), {}};
    if (watched.how.how == KeepOut::How::user) {
      for (config::TunInbound& tun : config.inbounds) {
        tun.auto_route.exclude_uid.push_back({watched.how.user, watched.how.user});
      }
    }
    all.watched_.push_back(std::move(watched));
  }
  return all;
}

std::vector<std::string> LocalProxies::told() const {
  std::vector<std::string> lines;
  for (const Watched& watched : watched_) lines.push_back(watched.how.told);
  return lines;
}

Result<> LocalProxies::keep() {
  for (Watched& watched : watched_) {
    if (auto settled = settle(watched, mark_); !settled) return settled;
  }
  return {};
}

void LocalProxies::follow() {
  for (Watched& watched : watched_) {
    auto listeners = platform::find_listeners(watched.proxy);
    if (!listeners || listeners->empty() || *listeners == watched.listeners) continue;
    const auto owner = owner_of(listeners->front());
    if (!owner) continue;  // it may be gone already, or not quite there: the next time tells
    watched.listeners = std::move(*listeners);
    auto how = keep_out(watched.proxy, *owner);
    // A user who is left out stays so until the end.
    const bool other_user =
        how && how->how == KeepOut::How::user &&
        (watched.how.how != KeepOut::How::user || how->user != watched.how.user);
    if (!how || other_user) {
      log::error(
          "the proxy {} was started again, {}: what it sends may be captured now; restart "
          "hairpin",
          watched.proxy.text(), how ? "by another user" : how.error().text());
      continue;
    }
    watched.how = std::move(*how);
    if (auto settled = settle(watched, mark_); !settled) {
      log::error("{}", settled.error().text());
      continue;
    }
    log::info("started again: {}", watched.how.told);
  }
}

}  // namespace hairpin::host
