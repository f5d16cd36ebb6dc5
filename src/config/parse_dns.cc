#include "config/parse_dns.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "config/conditions.h"
#include "config/parse_tls.h"
#include "wire/dns.h"

namespace hairpin::config {

// Found by read(vector), by the argument's namespace.
void read(const Reader& reader, DnsServer& out);
void read(const Reader& reader, DnsRule& out);

namespace {

using Json = nlohmann::json;

constexpr std::string_view kBool = "true or false";
constexpr std::string_view kText = "a text";
constexpr std::string_view kServerTypes =
    "\"udp\", \"tcp\", \"tls\", \"https\", \"local\", \"hosts\" or \"fakeip\"";
constexpr std::string_view kActions = "\"route\", \"route-options\", \"reject\" or \"predefined\"";
constexpr std::string_view kRcodes =
    "\"NOERROR\", \"FORMERR\", \"SERVFAIL\", \"NXDOMAIN\", \"NOTIMP\" or \"REFUSED\"";
constexpr std::string_view kRecords = "a record as in a zone file, or a list of them";
constexpr std::uint16_t kPort = 53;
constexpr std::uint16_t kTlsPort = 853;
constexpr std::uint16_t kHttpsPort = 443;
/// As sing-box.
constexpr std::string_view kFakeIp4 = "198.18.0.0/15";
constexpr std::string_view kFakeIp6 = "fc00::/18";

template <auto Member>
constexpr auto into = [](const Reader& reader, auto& out) { read(reader, out.*Member); };
template <class T>
void ignore(const Reader&, T&) {}  // read before the others

// ---- servers ------------------------------------------------------------------------------------

constexpr std::array<Field<DnsServer>, 2> kServerFields{{
    {"type", kServerTypes, ignore<DnsServer>},
    {"tag", kText, into<&DnsServer::tag>},
}};

void read_mark(const Reader& reader, DnsServer& out) {
  Mark mark;
  const std::size_t before = reader.problems().size();
  read(reader, mark);
  if (reader.problems().size() == before) out.dial.routing_mark = mark;
}

constexpr std::array<Field<DnsServer>, 5> kDialFields{{
    {"detour", "the tag of an outbound", into<&DnsServer::detour>},
    {"bind_interface", "the name of an interface",
     [](const Reader& reader, DnsServer& out) { read(reader, out.dial.bind_interface); }},
    {"routing_mark", "a mark", read_mark},
    {"connect_timeout", "a duration such as \"5m\"",
     [](const Reader& reader, DnsServer& out) { read(reader, out.dial.connect_timeout); }},
    {"domain_resolver", kResolver,
     [](const Reader& reader, DnsServer& out) { read(reader, out.dial.domain_resolver); }},
}};

constexpr std::array<Field<Server>, 2> kRemoteFields{{
    {"server", "an address or a host name", into<&Server::host>},
    {"server_port", "a port",
     [](const Reader& reader, Server& out) { read_port(reader, out.port); }},
}};

void read_predefined_hosts(const Reader& reader, DnsHosts& out) {
  if (!reader.is_object()) return;
  for (const auto& [name, value] : reader.value().items()) {
    auto& addresses =
        out.predefined[rule::lower(name.ends_with('.') ? name.substr(0, name.size() - 1) : name)];
    for (const Reader element : reader.member(name).list()) {
      const auto* text = element.value().get_ptr<const std::string*>();
      const auto address = text == nullptr ? std::nullopt : IpAddr::parse(*text);
      if (address) {
        addresses.push_back(*address);
      } else {
        element.expected("an address");
      }
    }
  }
}

constexpr std::array<Field<DnsHosts>, 2> kHostsFields{{
    {"path", "the path of a file, or a list of them", into<&DnsHosts::paths>},
    {"predefined", "an object of addresses by name", read_predefined_hosts},
}};

template <std::optional<Prefix> DnsFakeIp::* Member, Family Of>
void read_range(const Reader& reader, DnsFakeIp& out) {
  Prefix prefix;
  const std::size_t before = reader.problems().size();
  read(reader, prefix);
  if (reader.problems().size() != before) return;
  const unsigned bits = Of == Family::v4 ? 32 : 128;
  if (prefix.address.family() != Of) {
    reader.complain(Of == Family::v4 ? "is not of IPv4" : "is not of IPv6");
  } else if (prefix.length + 4 > bits) {
    reader.complain("has too few addresses: at least 16 are needed");
  } else {
    out.*Member = prefix;
  }
}

constexpr std::array<Field<DnsFakeIp>, 2> kFakeIpFields{{
    {"inet4_range", "a range of IPv4", read_range<&DnsFakeIp::inet4_range, Family::v4>},
    {"inet6_range", "a range of IPv6", read_range<&DnsFakeIp::inet6_range, Family::v6>},
}};

constexpr std::array<Field<DnsTls>, 1> kTlsFields{{
    {"tls", "an object", [](const Reader& reader, DnsTls& out) { read(reader, out.tls); }},
}};

void read_headers(const Reader& reader, DnsHttps& out) {
  if (!reader.is_object()) return;
  for (const auto& [name, value] : reader.value().items()) {
    read(reader.member(name), out.headers[rule::lower(name)]);
  }
}

constexpr std::array<Field<DnsHttps>, 3> kHttpsFields{{
    {"tls", "an object", [](const Reader& reader, DnsHttps& out) { read(reader, out.tls); }},
    {"path", "the path of a resource", into<&DnsHttps::path>},
    {"headers", "an object of texts by name", read_headers},
}};

template <class Kind>
void read_remote(const Reader& reader, std::span<const Field<Kind>> fields, std::uint16_t port,
                 DnsServer& out) {
  Kind kind;
  kind.server.port = port;
  const std::size_t before = reader.problems().size();
  read_parts(reader, Part<DnsServer>{kServerFields, out}, Part<DnsServer>{kDialFields, out},
             Part<Server>{kRemoteFields, kind.server}, Part<Kind>{fields, kind});
  if constexpr (requires { kind.tls; }) {
    kind.tls.enabled = true;
    load_certificates(kind.tls, reader.path() + ".tls", reader.problems());
  }
  if (kind.server.host.empty() && reader.problems().size() == before) {
    reader.complain("\"server\" is missing");
  }
  out.kind = std::move(kind);
}

template <class Kind>
void read_other(const Reader& reader, std::span<const Field<Kind>> fields, DnsServer& out) {
  Kind kind;
  read_parts(reader, Part<DnsServer>{kServerFields, out}, Part<Kind>{fields, kind});
  out.kind = std::move(kind);
}

void settle(DnsServer& out) {
  if (auto* hosts = std::get_if<DnsHosts>(&out.kind)) {
    if (hosts->paths.empty() && hosts->predefined.empty()) hosts->paths = {"/etc/hosts"};
  }
  auto* fake = std::get_if<DnsFakeIp>(&out.kind);
  if (fake != nullptr && !fake->inet4_range && !fake->inet6_range) {
    fake->inet4_range = Prefix::parse(kFakeIp4);
    fake->inet6_range = Prefix::parse(kFakeIp6);
  }
}

// ---- rules --------------------------------------------------------------------------------------

void read_action(const Reader& reader, DnsRule& rule) {
  if (reader.value() == "route") {
    rule.action = DnsAction::route;
  } else if (reader.value() == "route-options") {
    rule.action = DnsAction::options;
  } else if (reader.value() == "reject") {
    if (rule.action != DnsAction::drop) rule.action = DnsAction::reject;
  } else if (reader.value() == "predefined") {
    rule.action = DnsAction::predefined;
  } else {
    reader.expected(kActions);
  }
}

void read_method(const Reader& reader, DnsRule& rule) {
  if (reader.value() == "drop") {
    rule.action = DnsAction::drop;
  } else if (reader.value() != "default") {
    reader.expected("\"default\" or \"drop\"");
  }
}

void read_rcode(const Reader& reader, DnsRule& rule) {
  constexpr std::array<std::string_view, 6> kNames{"NOERROR",  "FORMERR", "SERVFAIL",
                                                   "NXDOMAIN", "NOTIMP",  "REFUSED"};
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto* const known =
      text == nullptr ? kNames.end() : std::ranges::find(kNames, std::string_view(*text));
  if (known == kNames.end()) return reader.expected(kRcodes);
  rule.predefined.rcode = static_cast<std::uint8_t>(known - kNames.begin());
}

void read_ttl(const Reader& reader, DnsRule& rule) {
  std::uint64_t ttl = 0;
  const std::size_t before = reader.problems().size();
  read_number(reader, 0, 604'800, ttl);
  if (reader.problems().size() == before) {
    rule.options.rewrite_ttl = static_cast<std::uint32_t>(ttl);
  }
}

constexpr std::array<Field<DnsRule>, 11> kRuleFields{{
    {"ip_accept_any", kBool, into<&DnsRule::ip_accept_any>},
    {"action", kActions, read_action},
    {"method", "\"default\" or \"drop\"", read_method},
    {"server", "the tag of a DNS server", into<&DnsRule::server>},
    {"strategy", kStrategies,
     [](const Reader& reader, DnsRule& rule) { read(reader, rule.options.strategy); }},
    {"disable_cache", kBool,
     [](const Reader& reader, DnsRule& rule) { read(reader, rule.options.disable_cache); }},
    {"rewrite_ttl", "a number of seconds, up to 604800", read_ttl},
    {"rcode", kRcodes, read_rcode},
    {"answer", kRecords,
     [](const Reader& reader, DnsRule& rule) { read(reader, rule.predefined.answer); }},
    {"ns", kRecords, [](const Reader& reader, DnsRule& rule) { read(reader, rule.predefined.ns); }},
    {"extra", kRecords,
     [](const Reader& reader, DnsRule& rule) { read(reader, rule.predefined.extra); }},
}};

bool asks_addresses(const rule::Rule& rule) {
  return !rule.conditions.ip_cidr.empty() || rule.conditions.ip_is_private ||
         std::ranges::any_of(rule.rules, asks_addresses);
}

void check_action(const Reader& reader, const DnsRule& rule) {
  const Json& json = reader.value();
  const auto only = [&](std::initializer_list<const char*> fields, bool allowed, const char* with) {
    for (const char* field : fields) {
      if (!allowed && json.contains(field)) {
        reader.complain("\"" + std::string(field) + "\" needs action " + with);
      }
    }
  };
  const bool rejects = json.value("action", Json()) == "reject";
  if (json.contains("method") && !rejects)
    return reader.complain("\"method\" needs action \"reject\"");
  const bool routes = rule.action == DnsAction::route;
  only({"server", "strategy"}, routes, "\"route\"");
  only({"disable_cache", "rewrite_ttl"}, routes || rule.action == DnsAction::options,
       "\"route\" or \"route-options\"");
  only({"rcode", "answer", "ns", "extra"}, rule.action == DnsAction::predefined, "\"predefined\"");
  if (routes && rule.server.empty()) reader.complain("\"server\" is missing");
  if (rule.action == DnsAction::options && !rule.options.any())
    reader.complain("has no option to set");
  if (!routes && asks_addresses(rule.rule)) {
    reader.complain(
        "conditions on addresses are about the answer of a server: they need action "
        "\"route\"");
  }
  if (rule.ip_accept_any && rule.rule.invert) {
    reader.complain("\"ip_accept_any\" cannot be inverted");
  }
  const bool after = rule.ip_accept_any;
  for (const auto* list : {&rule.predefined.answer, &rule.predefined.ns, &rule.predefined.extra}) {
    for (const std::string& record : *list) {
      const std::string problem = dns::record_problem(record);
      if (!problem.empty()) reader.complain("\"" + record + "\" is no record: " + problem);
    }
  }
  if (after && !routes) reader.complain("\"ip_accept_any\" needs action \"route\"");
}

// ---- the whole ----------------------------------------------------------------------------------

void read_strategy(const Reader& reader, Dns& out) {
  std::optional<Strategy> strategy;
  read(reader, strategy);
  out.strategy = strategy.value_or(Strategy::as_is);
}

constexpr std::array<Field<Dns>, 8> kDnsFields{{
    {"servers", "a list of servers", into<&Dns::servers>},
    {"rules", "a list of rules",
     [](const Reader& reader, Dns& out) {
       // Wrong ones keep their place: what is said of those behind names the right number.
       for (const Reader element : reader.list()) read(element, out.rules.emplace_back());
     }},
    {"final", "the tag of a DNS server", into<&Dns::final>},
    {"strategy", kStrategies, read_strategy},
    {"disable_cache", kBool, into<&Dns::disable_cache>},
    {"disable_expire", kBool, into<&Dns::disable_expire>},
    {"cache_capacity", "a number from 1024 to 1000000",
     [](const Reader& reader, Dns& out) {
       std::uint64_t count = out.cache_capacity;
       read_number(reader, 1024, 1'000'000, count);
       out.cache_capacity = count;
     }},
    {"reverse_mapping", kBool, into<&Dns::reverse_mapping>},
}};

constexpr std::array<Field<CacheFile>, 3> kCacheFileFields{{
    {"enabled", kBool, into<&CacheFile::enabled>},
    {"path", "the path of a file", into<&CacheFile::path>},
    {"store_fakeip", kBool, into<&CacheFile::store_fakeip>},
}};

constexpr std::array<Field<CacheFile>, 1> kExperimentalFields{{
    {"cache_file", "an object",
     [](const Reader& reader, CacheFile& out) {
       const std::size_t before = reader.problems().size();
       read_object<CacheFile>(reader, kCacheFileFields, out);
       if (reader.problems().size() != before) return;
       if (out.store_fakeip && !out.enabled)
         reader.complain("\"store_fakeip\" needs \"enabled\": true");
       if (out.path.empty()) reader.member("path").expected("the path of a file");
     }},
}};

constexpr std::array<Field<DomainResolver>, 2> kResolverFields{{
    {"server", "the tag of a DNS server", into<&DomainResolver::server>},
    {"strategy", kStrategies, into<&DomainResolver::strategy>},
}};

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
      check_circle(where, server);
    }
  }

  /// A server by name whose name only it can resolve.
  void check_circle(const std::string& where, const DnsServer& from) {
    std::set<std::string> seen;
    const DnsServer* at = &from;
    while (at != nullptr && seen.insert(at->tag).second) {
      const Dial* dial = resolving_dial(*at);
      if (dial == nullptr) return;
      const std::string& own = dial->domain_resolver.server;
      const std::string& tag = own.empty() ? config_.route.default_domain_resolver.server : own;
      if (tag.empty()) {
        // The system's resolver would ask through sockets that are captured, and so ask us.
        return problems_.push_back({where + ".server",
                                    "is a name, and nobody is told to resolve it; give an address, "
                                    "or a \"domain_resolver\""});
      }
      at = find(tag);
    }
    if (at != nullptr && at->tag == from.tag) {
      problems_.push_back({where + ".server",
                           "its address would be asked of itself; give an address, or a "
                           "\"domain_resolver\" that has one"});
    }
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

void read(const Reader& reader, std::optional<Strategy>& out) {
  constexpr std::array<std::string_view, 4> kNames{"prefer_ipv4", "prefer_ipv6", "ipv4_only",
                                                   "ipv6_only"};
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto* const known =
      text == nullptr ? kNames.end() : std::ranges::find(kNames, std::string_view(*text));
  if (known == kNames.end()) return reader.expected(kStrategies);
  out = static_cast<Strategy>(1 + (known - kNames.begin()));
}

void read(const Reader& reader, DomainResolver& out) {
  if (reader.value().is_string()) return read(reader, out.server);
  if (!reader.value().is_object()) return reader.expected(kResolver);
  const std::size_t before = reader.problems().size();
  read_object<DomainResolver>(reader, kResolverFields, out);
  if (out.server.empty() && reader.problems().size() == before)
    reader.complain("\"server\" is missing");
}

void read(const Reader& reader, DnsServer& out) {
  if (!reader.is_object()) return;
  const auto& json = reader.value();
  if (!json.contains("type"))
    return reader.complain("\"type\" is missing: " + std::string(kServerTypes));
  const Json& type = json["type"];
  if (type == "udp") {
    read_remote<DnsUdp>(reader, {}, kPort, out);
  } else if (type == "tcp") {
    read_remote<DnsTcp>(reader, {}, kPort, out);
  } else if (type == "tls") {
    read_remote<DnsTls>(reader, kTlsFields, kTlsPort, out);
  } else if (type == "https") {
    read_remote<DnsHttps>(reader, kHttpsFields, kHttpsPort, out);
  } else if (type == "local") {
    DnsLocal local;
    read_parts(reader, Part<DnsServer>{kServerFields, out}, Part<DnsServer>{kDialFields, out});
    out.kind = local;
  } else if (type == "hosts") {
    read_other<DnsHosts>(reader, kHostsFields, out);
  } else if (type == "fakeip") {
    read_other<DnsFakeIp>(reader, kFakeIpFields, out);
  } else {
    reader.member("type").expected(kServerTypes);
  }
  settle(out);
}

void read(const Reader& reader, DnsRule& rule) {
  const std::size_t before = reader.problems().size();
  const auto fields = rule_fields(reader, RuleContext::question, rule.rule);
  read_parts(reader, Part<rule::Rule>{fields, rule.rule}, Part<DnsRule>{kRuleFields, rule});
  read_inner_rules(reader, RuleContext::question, rule.rule);
  if (reader.problems().size() == before) check_action(reader, rule);
}

void read(const Reader& reader, Dns& out) {
  read_object<Dns>(reader, kDnsFields, out);
}

void read(const Reader& reader, CacheFile& out) {
  read_object<CacheFile>(reader, kExperimentalFields, out);
}

void check_dns(Problems& problems, const Config& config, const std::set<std::string>& outbounds) {
  Checker(problems, config, outbounds).check();
}

void list_dns_fields(std::vector<FieldInfo>& all) {
  list_fields<Dns>(all, "dns", kDnsFields);
  list_fields<DnsServer>(all, "dns.servers", kServerFields);
  list_fields<DnsServer>(all, "dns.servers", kDialFields);
  list_fields<Server>(all, "dns.servers, udp, tcp, tls and https", kRemoteFields);
  list_fields<DnsTls>(all, "dns.servers, tls", kTlsFields);
  list_fields<DnsHttps>(all, "dns.servers, https", kHttpsFields);
  list_fields<DnsHosts>(all, "dns.servers, hosts", kHostsFields);
  list_fields<DnsFakeIp>(all, "dns.servers, fakeip", kFakeIpFields);
  // The other conditions are those of route.rules.
  all.push_back({"dns.rules", "query_type", "a type such as \"AAAA\""});
  list_fields<DnsRule>(all, "dns.rules", kRuleFields);
  list_fields<DomainResolver>(all, "domain_resolver", kResolverFields);
  list_fields<CacheFile>(all, "experimental", kExperimentalFields);
  list_fields<CacheFile>(all, "experimental.cache_file", kCacheFileFields);
}

}  // namespace hairpin::config
