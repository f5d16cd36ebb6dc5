// What concerns DNS and the rest together: who refers to whom, and that nobody can be asked only
// when he has answered.
#include <algorithm>
#include <set>

#include "config/parse_dns.h"

namespace hairpin::config {

namespace {

bool is_fake(const DnsServer& server) {
  return std::holds_alternative<DnsFakeIp>(server.kind);
}

class Checker {
 public:
  Checker(Problems& problems, const Config& config, const std::set<std::string>& outbounds)
      : problems_(problems), config_(config), outbounds_(outbounds) {
    for (const DnsServer& server : config.dns.servers) {
      if (!server.tag.empty()) tags_.insert(server.tag);
    }
  }

  void check() {
    check_servers();
    const Dns& dns = config_.dns;
    refer("dns.final", dns.final);
    for (std::size_t i = 0; i < dns.rules.size(); ++i) {
      refer("dns.rules[" + std::to_string(i) + "].server", dns.rules[i].server);
    }
    const DnsServer* last = find(dns.final);
    if (dns.final.empty() && !dns.servers.empty()) last = &dns.servers.front();
    if (last != nullptr && is_fake(*last)) {
      problems_.push_back({"dns.final",
                           "is a server of type \"fakeip\": there must be one that knows real "
                           "addresses"});
    }
    check_users();
  }

 private:
  const DnsServer* find(const std::string& tag) const {
    const auto found = std::ranges::find(config_.dns.servers, tag, &DnsServer::tag);
    return tag.empty() || found == config_.dns.servers.end() ? nullptr : &*found;
  }
  void refer(std::string where, const std::string& tag) {
    check_reference(problems_, std::move(where), tag, tags_, "DNS server");
  }
  void resolver(const std::string& where, const DomainResolver& resolver) {
    refer(where, resolver.server);
    const DnsServer* server = find(resolver.server);
    if (server != nullptr && is_fake(*server)) {
      problems_.push_back(
          {where, "\"" + resolver.server + "\" is of type \"fakeip\": its addresses lead nowhere"});
    }
  }

  void check_servers() {
    std::set<std::string> seen;
    unsigned fakes = 0;
    for (std::size_t i = 0; i < config_.dns.servers.size(); ++i) {
      const DnsServer& server = config_.dns.servers[i];
      const std::string where = "dns.servers[" + std::to_string(i) + "]";
      if (!server.tag.empty() && !seen.insert(server.tag).second) {
        problems_.push_back({where + ".tag", "\"" + server.tag + "\" is used twice"});
      }
      if (is_fake(server) && ++fakes == 2)
        problems_.push_back({where, "there can be one server of type \"fakeip\" only"});
      check_reference(problems_, where + ".detour", server.detour, outbounds_, "outbound");
      resolver(where + ".domain_resolver", server.dial.domain_resolver);
      check_way(where, server);
    }
  }

  void complain(const std::string& where, const std::string& what) {
    problems_.push_back({where, what});
  }

  void check_way(const std::string& where, const DnsServer& server) {
    if (const Dial* dial = resolving_dial(server); dial != nullptr && resolver_of(*dial).empty()) {
      // The system's resolver would ask through sockets that are captured, and so ask us.
      complain(where + ".server",
               "is a name, and nobody is told to resolve it; give an address, or a "
               "\"domain_resolver\"");
    }
    for (const Need& need : needs_of(server)) {
      std::set<const DnsServer*> seen;
      if (!leads_to(*need.server, server, seen)) continue;
      if (need.proxy == nullptr) {
        return complain(where + ".server",
                        "its address would be asked of itself; give an address, or a "
                        "\"domain_resolver\" that has one");
      }
      return complain(where + ".detour",
                      "leads through outbound \"" + need.proxy->tag +
                          "\", whose server's address would be asked of this DNS server itself; "
                          "give that outbound an address, or a \"domain_resolver\" that is "
                          "reached another way");
    }
  }

  /// A server that must have answered before another one can be asked.
  struct Need {
    const DnsServer* server;
    const Outbound* proxy;  ///< Whose name it is asked for; null: the name of the other itself.
  };
  std::vector<Need> needs_of(const DnsServer& server) const {
    std::vector<Need> needs;
    const Server* remote = remote_of(server);
    if (!server.detour.empty()) {
      std::set<std::string> path;
      add_way(needs, server.detour, remote, nullptr, path);
    } else if (remote != nullptr) {
      add(needs, *remote, server.dial, nullptr);
    }
    return needs;
  }
  /// What is needed to reach `to`, `of_proxy`'s server, through the outbound `tag`. `path` are
  /// those that lead here: what goes in circles is no way.
  void add_way(std::vector<Need>& needs, const std::string& tag, const Server* to,
               const Outbound* of_proxy, std::set<std::string>& path) const {
    const auto through = std::ranges::find(config_.outbounds, tag, &Outbound::tag);
    if (through == config_.outbounds.end() || !path.insert(tag).second) return;
    if (const auto* group = std::get_if<Group>(&through->kind)) {
      for (const std::string& member : group->outbounds) {
        add_way(needs, member, to, of_proxy, path);
      }
    } else if (std::holds_alternative<Direct>(through->kind)) {
      if (to != nullptr) add(needs, *to, through->dial, of_proxy);
    } else if (const Server* proxy = server_of(*through)) {
      // A proxy is told names, and so is what leads to it: only the first one's is asked for here.
      if (through->dial.detour.empty()) {
        add(needs, *proxy, through->dial, &*through);
      } else {
        add_way(needs, through->dial.detour, proxy, &*through, path);
      }
    }
    path.erase(tag);
  }
  void add(std::vector<Need>& needs, const Server& to, const Dial& dial,
           const Outbound* proxy) const {
    if (IpAddr::parse(to.host)) return;
    if (const DnsServer* asked = find(resolver_of(dial))) needs.push_back({asked, proxy});
  }
  /// Whether `from` is `to`, or can be asked only when `to` has answered.
  bool leads_to(const DnsServer& from, const DnsServer& to,
                std::set<const DnsServer*>& seen) const {
    if (&from == &to) return true;
    if (!seen.insert(&from).second) return false;
    return std::ranges::any_of(needs_of(from),
                               [&](const Need& need) { return leads_to(*need.server, to, seen); });
  }

  const std::string& resolver_of(const Dial& dial) const {
    const std::string& own = dial.domain_resolver.server;
    return own.empty() ? config_.route.default_domain_resolver.server : own;
  }
  /// What resolves the name of a server; null: nobody has to.
  const Dial* resolving_dial(const DnsServer& server) const {
    const Server* remote = remote_of(server);
    if (remote == nullptr || IpAddr::parse(remote->host)) return nullptr;
    if (server.detour.empty()) return &server.dial;
    const auto through = std::ranges::find(config_.outbounds, server.detour, &Outbound::tag);
    const bool direct =
        through != config_.outbounds.end() && std::holds_alternative<Direct>(through->kind);
    return direct ? &through->dial : nullptr;  // a proxy resolves names itself
  }
  static const Server* remote_of(const DnsServer& server) {
    if (const auto* udp = std::get_if<DnsUdp>(&server.kind)) return &udp->server;
    if (const auto* tcp = std::get_if<DnsTcp>(&server.kind)) return &tcp->server;
    if (const auto* tls = std::get_if<DnsTls>(&server.kind)) return &tls->server;
    if (const auto* https = std::get_if<DnsHttps>(&server.kind)) return &https->server;
    return nullptr;
  }

  void check_users() {
    resolver("route.default_domain_resolver", config_.route.default_domain_resolver);
    for (std::size_t i = 0; i < config_.outbounds.size(); ++i) {
      resolver("outbounds[" + std::to_string(i) + "].domain_resolver",
               config_.outbounds[i].dial.domain_resolver);
    }
    for (std::size_t i = 0; i < config_.route.rules.size(); ++i) {
      const RouteRule& rule = config_.route.rules[i];
      const std::string where = "route.rules[" + std::to_string(i) + "]";
      resolver(where + ".server", rule.resolver);
      const bool asks = rule.action == Action::hijack_dns || rule.action == Action::resolve;
      if (asks && config_.dns.servers.empty()) {
        problems_.push_back({where, "needs a server in \"dns.servers\" that answers"});
      }
    }
  }

  Problems& problems_;
  const Config& config_;
  const std::set<std::string>& outbounds_;
  std::set<std::string> tags_;
};

}  // namespace

void check_dns(Problems& problems, const Config& config, const std::set<std::string>& outbounds) {
  Checker(problems, config, outbounds).check();
}

}  // namespace hairpin::config
