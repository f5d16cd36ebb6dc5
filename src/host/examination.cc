#include "host/examination.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/fd.h"
#include "host/local_proxy.h"
#include "host/plan.h"
#include "platform/parameters.h"
#include "platform/privileges.h"

namespace hairpin::host {

namespace {

using State = Finding::State;

bool is_one(const std::string& parameter) {
  const auto value = platform::read_parameter(parameter);
  return value && *value == "1";
}

std::vector<IpAddr> read_resolvers() {
  std::vector<IpAddr> resolvers;
  std::ifstream file("/etc/resolv.conf");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    std::string value;
    words >> key >> value;
    if (key != "nameserver") continue;
    if (const auto address = IpAddr::parse(value.substr(0, value.find('%')))) {
      resolvers.push_back(*address);
    }
  }
  return resolvers;
}

template <class T>
void take(Result<T> found, T& into) {
  if (found) into = std::move(*found);
}

const config::TunInbound* first_routed(const config::Config& config) {
  const auto found = std::ranges::find_if(
      config.inbounds, [](const config::TunInbound& tun) { return tun.auto_route.enabled; });
  return found == config.inbounds.end() ? nullptr : &*found;
}

bool overlap(const Prefix& a, const Prefix& b) {
  if (a.address.family() != b.address.family()) return false;
  return a.length <= b.length ? a.contains(b.address) : b.contains(a.address);
}

bool carries_family(const config::TunInbound& tun, Family family) {
  return std::ranges::any_of(
      tun.address, [family](const Prefix& prefix) { return prefix.address.family() == family; });
}

bool has_default(const Facts& facts, Family family) {
  return std::ranges::any_of(facts.routes, [family](const platform::FoundRoute& route) {
    return route.destination.length == 0 && route.destination.address.family() == family;
  });
}

std::string chain_name(const nft::FilterChain& chain) {
  return "table " + chain.table + ", chain " + chain.name;
}

/// Gathers findings; each check is one member.
class Judge {
 public:
  Judge(const config::Config& config, const Facts& facts)
      : config_(config), facts_(facts), tun_(first_routed(config)) {}

  std::vector<Finding> all() {
    permissions();
    tables();
    leftovers();
    if (tun_ == nullptr) {
      add(State::notice, "routing", "auto_route is off: nothing is captured unless routes say so",
          "set auto_route, or see hairpin(8), ROUTING");
      return std::move(findings_);
    }
    clashes();
    source_check();
    forwarding();
    firewalls();
    resolvers();
    families();
    proxies();
    for (const std::string& refusal : refusals(config_, facts_)) {
      add(State::wrong, "configuration", refusal, "see above");
    }
    return std::move(findings_);
  }

 private:
  void add(State state, const char* check, std::string evidence, std::string cure = "") {
    findings_.push_back({state, check, std::move(evidence), std::move(cure)});
  }

  void permissions() {
    if (!facts_.network_administration) {
      add(State::wrong, "permissions", "this process lacks CAP_NET_ADMIN",
          "run as root; \"hairpin exec\" needs no privilege");
    } else if (!facts_.system_administration && !facts_.tun_device.empty()) {
      add(State::wrong, "permissions",
          "neither link can be had: no CAP_SYS_ADMIN for veth, and " + facts_.tun_device,
          "run as root, or give access to /dev/net/tun");
    } else {
      add(State::good, "permissions",
          facts_.system_administration ? "veth and tun can be had" : "tun can be had, veth cannot");
    }
  }

  void tables() {
    if (facts_.tables.empty()) {
      add(State::good, "nftables", "all that we need was loaded in a namespace of its own");
    } else {
      add(State::wrong, "nftables", facts_.tables,
          "load nf_tables, nft_tproxy, nft_ct, nft_fib_inet and nft_reject_inet, or use a kernel "
          "that has them");
    }
  }

  void leftovers() {
    const Leftovers& left = facts_.left;
    if (left.empty()) return add(State::good, "leftovers", "nothing of a former run");
    std::string text = std::to_string(left.rules.size()) + " routing rules, " +
                       std::to_string(left.openings.size()) + " rules in other tables, " +
                       std::to_string(left.walls.size()) + " walls of a former run";
    const bool closed = !left.walls.empty();
    add(closed ? State::wrong : State::notice, "leftovers",
        text + (closed ? ": this host is closed" : ""), "hairpin cleanup");
  }

  void clashes() {
    const config::AutoRoute& wanted = tun_->auto_route;
    const bool running = !facts_.left.running.empty();
    if (!facts_.taken.empty() && !running) {
      add(State::wrong, "routing table",
          "table " + std::to_string(wanted.table.value()) + " has routes of somebody else",
          "set iproute2_table_index");
    }
    bool clash = false;
    for (const platform::ListedRule& entry : facts_.rules) {
      const std::uint32_t priority = entry.rule.priority.value();
      const std::uint32_t first = wanted.first_rule.value();
      const bool ours = entry.protocol == platform::kRouteProtocol;
      if (!ours && priority >= first && priority < first + kPriorities) {
        add(State::wrong, "routing rules",
            "priority " + std::to_string(priority) + " is taken: " + platform::text(entry.rule),
            "set iproute2_rule_index");
        clash = true;
      }
      if (!ours && entry.rule.mark && *entry.rule.mark &&
          ((entry.rule.mark->value() ^ wanted.marks.input.value()) & entry.rule.mark_mask &
           wanted.marks.mask) == 0 &&
          (entry.rule.mark_mask & wanted.marks.mask) != 0) {
        add(State::notice, "marks",
            "a rule of somebody else matches our mark: " + platform::text(entry.rule),
            "set auto_redirect_input_mark or auto_redirect_mark_mask");
        clash = true;
      }
    }
    if (!clash && facts_.taken.empty()) {
      add(State::good, "numbers", "table, priorities and marks are free");
    }
  }

  void source_check() {
    std::string strict;
    for (const auto& [name, value] : facts_.source_check) {
      if (value == 1) strict += (strict.empty() ? "" : ", ") + name;
    }
    // The larger of "all" and the interface's own holds; ours is set to 2, which is the largest.
    add(State::good, "rp_filter",
        strict.empty() ? "strict nowhere"
                       : "strict for " + strict + "; ours is made loose, which is enough");
  }

  void forwarding() {
    const config::AutoRoute& wanted = tun_->auto_route;
    if (wanted.gateway) return add(State::good, "forwarding", "gateway turns it on");
    if (facts_.forwards4 || facts_.forwards6) {
      return add(State::good, "forwarding",
                 std::string("on for ") + (facts_.forwards4 ? "IPv4" : "") +
                     (facts_.forwards4 && facts_.forwards6 ? " and " : "") +
                     (facts_.forwards6 ? "IPv6" : ""));
    }
    add(State::notice, "forwarding",
        "net.ipv4.ip_forward and net.ipv6.conf.all.forwarding are 0: hosts behind this one get "
        "nowhere",
        "gateway, if there are any");
  }

  void firewalls() {
    bool any = false;
    for (const nft::FilterChain& chain : facts_.filters) {
      if (!chain.drops) continue;
      any = true;
      const bool forward = chain.hook == nft::Hook::forward;
      if (forward && !tun_->auto_route.gateway) {
        add(State::notice, "firewall",
            chain_name(chain) +
                " drops what is forwarded: other hosts' traffic may not reach the "
                "interface",
            "gateway (it accepts what goes to and comes from our interface there), or a rule of "
            "your own");
      } else {
        add(State::good, "firewall",
            chain_name(chain) + " drops; what is ours is accepted there while we run");
      }
    }
    if (!any) add(State::good, "firewall", "no chain with policy drop at input or forward");
  }

  void resolvers() {
    for (const IpAddr& resolver : facts_.resolvers) {
      const auto known = std::ranges::find_if(facts_.routes, [&](const auto& route) {
        return route.destination.length != 0 && route.destination.contains(resolver);
      });
      if (resolver.is_loopback()) {
        add(State::notice, "DNS",
            "/etc/resolv.conf names " + resolver.text() +
                ", on this host: what it asks itself is captured, but by its own addresses",
            "see that it asks servers beyond the default route");
      } else if (known != facts_.routes.end()) {
        add(State::notice, "DNS",
            "the name server " + resolver.text() + " is in " + known->destination.text() +
                ", a network this host knows: it is asked directly",
            "use one beyond the default route, or name its address in route_address");
      } else {
        add(State::good, "DNS", "the name server " + resolver.text() + " is captured");
      }
    }
  }

  void families() {
    for (const Family family : {Family::v4, Family::v6}) {
      const char* name = family == Family::v4 ? "IPv4" : "IPv6";
      if (carries_family(*tun_, family)) continue;
      const bool closed =
          tun_->auto_route.strict || tun_->auto_route.on_stop == config::OnStop::closed;
      if (closed) {
        add(State::good, name, "not carried, and refused");
      } else if (has_default(facts_, family)) {
        add(State::wrong, name,
            "there is a default route, and the interface has no such address: "
            "all of it goes around the proxy",
            "give the interface an address of it, or set strict_route");
      } else {
        add(State::good, name, "not carried, and there is no default route");
      }
    }
  }

  void proxies() {
    if (!facts_.proxies.empty()) {
      return add(State::wrong, "proxy", facts_.proxies, "see there");
    }
    for (const std::string& line : facts_.kept_out) add(State::good, "proxy", line);
  }

  const config::Config& config_;
  const Facts& facts_;
  const config::TunInbound* tun_;
  std::vector<Finding> findings_;
};

}  // namespace

Facts gather_network() {
  Facts facts;
  take(platform::list_interfaces(), facts.interfaces);
  take(platform::list_routes(platform::kMainTable), facts.routes);
  take(find_leftovers(), facts.left);
  return facts;
}

Facts gather(const config::Config& config) {
  Facts facts = gather_network();
  facts.network_administration = platform::may_administer_network();
  facts.system_administration = platform::may_administer_system();
  const Fd tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tun) facts.tun_device = last_error("/dev/net/tun").text();
  std::vector<std::string> names{"all"};
  for (const auto& interface : facts.interfaces) names.push_back(interface.name);
  for (std::string name : names) {
    std::ranges::replace(name, '.', '/');
    const auto value = platform::read_parameter("net.ipv4.conf." + name + ".rp_filter");
    if (value) facts.source_check[name] = std::atoi(value->c_str());
  }
  facts.forwards4 = is_one("net.ipv4.ip_forward");
  facts.forwards6 = is_one("net.ipv6.conf.all.forwarding");
  take(nft::list_filter_chains(), facts.filters);
  facts.resolvers = read_resolvers();
  take(platform::list_rules(), facts.rules);
  take(find_leftovers(), facts.left);
  if (const config::TunInbound* tun_inbound = first_routed(config)) {
    take(platform::list_routes(tun_inbound->auto_route.table), facts.taken);
  }
  config::Config copy = config;
  const auto proxies = LocalProxies::find(copy);
  if (proxies) {
    facts.kept_out = proxies->told();
  } else {
    facts.proxies = proxies.error().text();
  }
  return facts;
}

std::vector<Finding> judge(const config::Config& config, const Facts& facts) {
  return Judge(config, facts).all();
}

std::vector<std::string> refusals(const config::Config& config, const Facts& facts) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < config.inbounds.size(); ++i) {
    const config::TunInbound& tun = config.inbounds[i];
    if (!tun.auto_route.enabled) continue;
    const std::string where = "inbounds[" + std::to_string(i) + "]";
    for (const Prefix& own : tun.address) {
      for (const platform::FoundRoute& route : facts.routes) {
        const auto device =
            std::ranges::find(facts.interfaces, route.device, &platform::FoundInterface::index);
        const std::string name = device == facts.interfaces.end() ? "" : device->name;
        const auto& running = facts.left.running;
        const bool ours =
            name == tun.interface_name || std::ranges::find(running, name) != running.end();
        if (route.destination.length == 0 || route.gateway || ours ||
            !overlap(own, route.destination)) {
          continue;
        }
        all.push_back(where + ".address: " + own.text() + " overlaps " + route.destination.text() +
                      (name.empty() ? "" : " on " + name) +
                      ", which would be cut off; choose another");
      }
    }
    for (std::size_t n = 0; n < config.outbounds.size(); ++n) {
      const config::Server* server = config::first_hop_of(config.outbounds[n]);
      const auto address = server == nullptr ? std::nullopt : IpAddr::parse(server->host);
      const bool inside = address && std::ranges::any_of(tun.address, [&](const Prefix& own) {
                            return own.contains(*address);
                          });
      if (!inside) continue;
      all.push_back("outbounds[" + std::to_string(n) + "].server: " + address->text() +
                    " is in the network of " + where +
                    ", and so reached only through the proxy itself");
    }
  }
  return all;
}

const char* name(State state) {
  switch (state) {
    case State::good:
      return "ok";
    case State::notice:
      return "notice";
    case State::wrong:
      return "wrong";
  }
  return "";
}

}  // namespace hairpin::host
