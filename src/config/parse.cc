// The tables below are the whole schema: a field that is not in one does not exist, and what is in
// one is read. Checks that concern several fields follow the tables.
#include "config/parse.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <set>

#include "config/conditions.h"
#include "config/kinds.h"
#include "config/parse_auto_route.h"
#include "config/parse_dns.h"
#include "config/parse_outbounds.h"
#include "config/reader.h"
#include "config/rule_set.h"

namespace hairpin::config {

// Found by read(vector), by the argument's namespace.
void read(const Reader& reader, TunInbound& out);
void read(const Reader& reader, RouteRule& rule);
void read(const Reader& reader, RuleSet& out);

namespace {

using Json = nlohmann::json;

constexpr std::string_view kProtocols = "tls, http, ssh, bittorrent, dns, quic, stun, dtls or ntp";
constexpr std::string_view kHandshakes = "\"faithful\" or \"eager\"";
constexpr std::string_view kStackKinds = "\"system\", \"userspace\" or \"mixed\"";
constexpr std::string_view kLinkKinds = "\"auto\", \"veth\" or \"tun\"";

// ---- log ----------------------------------------------------------------------------------------

void read_level(const Reader& reader, Log& log) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto level = text == nullptr ? std::nullopt : log::parse_level(*text);
  if (!level) return reader.expected("trace, debug, info, warn, error, fatal or panic");
  log.level = *level;
}

constexpr std::array<Field<Log>, 4> kLogFields{{
    {"disabled", kBool, into<&Log::disabled>},
    {"level", "trace, debug, info, warn, error, fatal or panic", read_level},
    {"output", "the path of a file", into<&Log::output>},
    {"timestamp", kBool, into<&Log::timestamp>},
}};

// ---- inbounds -----------------------------------------------------------------------------------

void read_mtu(const Reader& reader, TunInbound& tun) {
  if (reader.value() == 0) return;
  std::uint64_t mtu = tun.mtu;
  read_number(reader, kMinMtu, 65535, mtu);
  tun.mtu = static_cast<unsigned>(mtu);
}

void read_stack(const Reader& reader, TunInbound& tun) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto kind = text == nullptr ? std::nullopt : parse_stack_kind(*text);
  if (!kind) return reader.expected(kStackKinds);
  tun.stack = *kind;
  tun.stack_was_gvisor = *text == "gvisor";
}

void read_link(const Reader& reader, TunInbound& tun) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto kind = text == nullptr ? std::nullopt : parse_link_kind(*text);
  if (!kind) return reader.expected(kLinkKinds);
  tun.link = *kind;
}

void read_handshake(const Reader& reader, TunInbound& tun) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto handshake = text == nullptr ? std::nullopt : parse_handshake(*text);
  if (!handshake) return reader.expected(kHandshakes);
  tun.tcp_handshake = *handshake;
}

void read_udp_nat_max(const Reader& reader, TunInbound& tun) {
  std::uint64_t count = tun.udp_nat_max;
  read_number(reader, 1, 1'000'000, count);
  tun.udp_nat_max = static_cast<std::size_t>(count);
}

constexpr std::array<Field<TunInbound>, 11> kTunFields{{
    {"type", "\"tun\"", ignore_type<TunInbound>},
    {"tag", kText, into<&TunInbound::tag>},
    {"interface_name", kText, into<&TunInbound::interface_name>},
    {"address", kPrefixes, into<&TunInbound::address>},
    {"mtu", "0, or a number from 1280 to 65535", read_mtu},
    {"stack", kStackKinds, read_stack},
    {"link", kLinkKinds, read_link},
    {"udp_timeout", kDuration, into<&TunInbound::udp_timeout>},
    {"udp_nat_max", "a number from 1 to 1000000", read_udp_nat_max},
    {"tcp_idle_timeout", kDuration, into<&TunInbound::tcp_idle_timeout>},
    {"tcp_handshake", kHandshakes, read_handshake},
}};

std::vector<Field<TunInbound>> tun_fields() {
  auto fields = auto_route_fields();
  std::ranges::copy(kTunFields, std::back_inserter(fields));
  return fields;
}

}  // namespace

std::optional<LinkKind> parse_link_kind(std::string_view text) {
  if (text == "auto") return LinkKind::automatic;
  if (text == "veth") return LinkKind::veth;
  if (text == "tun") return LinkKind::tun;
  return std::nullopt;
}

std::optional<StackKind> parse_stack_kind(std::string_view text) {
  if (text == "system") return StackKind::system;
  if (text == "userspace" || text == "gvisor") return StackKind::userspace;
  if (text == "mixed") return StackKind::mixed;
  return std::nullopt;
}

std::optional<Handshake> parse_handshake(std::string_view text) {
  if (text == "faithful") return Handshake::faithful;
  if (text == "eager") return Handshake::eager;
  return std::nullopt;
}

namespace {

void check_interface_name(const Reader& reader, const std::string& name) {
  // dev_valid_name() in the kernel's net/core/dev.c
  const bool valid = name.size() <= 15 && name != "." && name != ".." &&
                     name.find_first_of("/: \t\n%") == std::string::npos;
  if (!valid) reader.member("interface_name").complain("is no interface name (1 to 15 characters)");
}

}  // namespace

void read(const Reader& reader, TunInbound& out) {
  constexpr std::array<std::string_view, 1> kTypes{"tun"};
  if (read_type(reader, kTypes).empty()) return;
  const std::size_t before = reader.problems().size();
  out.stack = default_stack();
  read_object<TunInbound>(reader, tun_fields(), out);
  check_interface_name(reader, out.interface_name);
  const bool said = out.stack != default_stack();
  if (said && out.stack != StackKind::system && out.link == LinkKind::veth) {
    reader.member("stack").complain(
        "needs a TUN, but \"link\" is \"veth\": leave \"link\" out, or use \"system\"");
  }
  check_auto_route(reader, out.auto_route);
  if (out.address.empty() && reader.problems().size() == before) {
    reader.complain(
        "\"address\" is missing, for example [\"172.18.0.1/30\", "
        "\"fdfe:dcba:9876::1/126\"]");
  }
  for (const Prefix& prefix : out.address) {
    const IpAddr& address = prefix.address;
    if (address.is_multicast() || address.is_loopback() || address.is_unspecified()) {
      reader.member("address").complain(prefix.text() + " is no address for an interface");
    }
  }
}

namespace {

// ---- route --------------------------------------------------------------------------------------

constexpr std::string_view kActions =
    "\"route\", \"bypass\", \"reject\", \"hijack-dns\", \"sniff\", \"resolve\" or "
    "\"route-options\"";

void read_action(const Reader& reader, RouteRule& rule) {
  if (reader.value() == "route") {
    rule.action = Action::route;
  } else if (reader.value() == "reject") {
    if (rule.action != Action::drop) rule.action = Action::reject;
  } else if (reader.value() == "bypass") {
    rule.action = Action::bypass;
  } else if (reader.value() == "hijack-dns") {
    rule.action = Action::hijack_dns;
  } else if (reader.value() == "resolve") {
    rule.action = Action::resolve;
  } else if (reader.value() == "sniff") {
    rule.action = Action::sniff;
  } else if (reader.value() == "route-options") {
    rule.action = Action::options;
  } else {
    reader.expected(kActions);
  }
}

void read_sniffers(const Reader& reader, RouteRule& rule) {
  const auto elements = reader.list();
  if (!elements.empty()) rule.sniffers = {};
  for (const Reader element : elements) {
    const auto* text = element.value().get_ptr<const std::string*>();
    const auto protocol = text == nullptr ? std::nullopt : sniff::parse_protocol(*text);
    if (protocol) {
      rule.sniffers.add(*protocol);
    } else {
      element.expected(kProtocols);
    }
  }
}

void read_override_address(const Reader& reader, RouteRule& rule) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto address = text == nullptr ? std::nullopt : IpAddr::parse(*text);
  if (!address) return reader.expected("an address");
  rule.options.override_address = *address;
}

void read_method(const Reader& reader, RouteRule& rule) {
  if (reader.value() == "drop") {
    rule.action = Action::drop;
  } else if (reader.value() != "default") {
    reader.expected(kMethods);
  }
}

constexpr std::array<Field<RouteRule>, 12> kActionFields{{
    {"action", kActions, read_action},
    {"method", kMethods, read_method},
    {"no_drop", kBool, into<&RouteRule::no_drop>},
    {"outbound", "the tag of an outbound", into<&RouteRule::outbound>},
    {"sniffer", "a protocol or a list of them", read_sniffers},
    {"server", "the tag of a DNS server",
     [](const Reader& reader, RouteRule& rule) { read(reader, rule.resolver.server); }},
    {"strategy", kStrategies,
     [](const Reader& reader, RouteRule& rule) { read(reader, rule.resolver.strategy); }},
    {"client_subnet", kSubnet,
     [](const Reader& reader, RouteRule& rule) {
       read_subnet(reader, rule.resolver.client_subnet);
     }},
    {"timeout", kDuration, into<&RouteRule::sniff_timeout>},
    {"override_address", "an address", read_override_address},
    {"override_port", "a port",
     [](const Reader& reader, RouteRule& rule) {
       std::uint16_t port = 0;
       read_port(reader, port);
       if (port != 0) rule.options.override_port = port;
     }},
    {"udp_timeout", kDuration,
     [](const Reader& reader, RouteRule& rule) {
       Duration timeout{0};
       read(reader, timeout);
       if (timeout.count() != 0) rule.options.udp_timeout = timeout;
     }},
}};

/// Fields that belong to one action say so where they stand beside another.
void check_action(const Reader& reader, const RouteRule& rule) {
  const Json& json = reader.value();
  const Action action = rule.action;
  const bool rejects = json.value("action", Json()) == "reject";
  if (json.contains("method") && !rejects)
    return reader.complain("\"method\" needs action \"reject\"");
  const bool routes = action == Action::route;
  only_with(reader, action == Action::reject, {"no_drop"}, "\"reject\" with method \"default\"");
  only_with(reader, action == Action::resolve, {"server", "strategy", "client_subnet"},
            "\"resolve\"");
  only_with(reader, action == Action::sniff, {"sniffer", "timeout"}, "\"sniff\"");
  only_with(reader, routes || action == Action::options,
            {"override_address", "override_port", "udp_timeout"}, "\"route\" or \"route-options\"");
  if (!has_outbound(action) && !rule.outbound.empty()) {
    reader.complain(json["action"].dump() + " takes no \"outbound\"");
  }
  if (routes && rule.outbound.empty()) reader.complain("\"outbound\" is missing");
  if (action == Action::options && !rule.options.any()) reader.complain("has no option to set");
}

}  // namespace

void read(const Reader& reader, RouteRule& rule) {
  read_rule(reader, RuleContext::flow, rule, kActionFields, check_action);
}

namespace {

constexpr std::array<Field<Route>, 7> kRouteFields{{
    {"rules", "a list of rules",
     [](const Reader& reader, Route& out) {
       // Wrong ones keep their place: what is said of those behind names the right number.
       for (const Reader element : reader.list()) read(element, out.rules.emplace_back());
     }},
    {"rule_set", "a list of rule-sets", into<&Route::rule_sets>},
    {"final", "the tag of an outbound", into<&Route::final>},
    {"default_mark", kMark, into<&Route::default_mark>},
    {"default_interface", "the name of an interface", into<&Route::default_interface>},
    {"auto_detect_interface", kBool, into<&Route::auto_detect_interface>},
    {"default_domain_resolver", kResolver, into<&Route::default_domain_resolver>},
}};

// ---- the whole ----------------------------------------------------------------------------------

constexpr std::array<Field<Config>, 6> kConfigFields{{
    {"log", "an object",
     [](const Reader& reader, Config& out) { read_object<Log>(reader, kLogFields, out.log); }},
    {"inbounds", "a list of inbounds", into<&Config::inbounds>},
    {"outbounds", "a list of outbounds", into<&Config::outbounds>},
    {"route", "an object",
     [](const Reader& reader, Config& out) {
       read_object<Route>(reader, kRouteFields, out.route);
     }},
    {"dns", "an object", into<&Config::dns>},
    {"experimental", "an object", into<&Config::cache_file>},
}};

template <class T>
std::set<std::string> check_tags(const Reader& root, const char* list,
                                 const std::vector<T>& items) {
  std::set<std::string> tags;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].tag.empty() || tags.insert(items[i].tag).second) continue;
    root.problems().push_back({std::string(list) + "[" + std::to_string(i) + "].tag",
                               "\"" + items[i].tag + "\" is used twice"});
  }
  return tags;
}

/// The tags that a rule, and the rules in it, have of others.
void check_rule_references(Problems& problems, const std::string& where, const rule::Rule& rule,
                           const std::set<std::string>& inbounds,
                           const std::set<std::string>& rule_sets) {
  for (const std::string& tag : rule.conditions.inbound) {
    check_reference(problems, where + ".inbound", tag, inbounds, "inbound");
  }
  for (const std::string& tag : rule.conditions.rule_set) {
    check_reference(problems, where + ".rule_set", tag, rule_sets, "rule-set");
  }
  for (std::size_t i = 0; i < rule.rules.size(); ++i) {
    check_rule_references(problems, where + ".rules[" + std::to_string(i) + "]", rule.rules[i],
                          inbounds, rule_sets);
  }
}

/// What concerns more than one object. Runs even when objects had problems of their own.
void check_whole(const Reader& root, const Config& config) {
  Problems& problems = root.problems();
  const auto inbounds = check_tags(root, "inbounds", config.inbounds);
  const auto outbounds = check_tags(root, "outbounds", config.outbounds);
  const auto rule_sets = check_tags(root, "route.rule_set", config.route.rule_sets);
  const auto listed = root.value().find("inbounds");
  if (config.inbounds.empty() && (listed == root.value().end() || listed->empty())) {
    root.complain("\"inbounds\" is missing: one of type \"tun\" is needed");
  }
  std::set<std::string> interfaces;
  std::set<IpAddr> addresses;
  for (std::size_t i = 0; i < config.inbounds.size(); ++i) {
    const TunInbound& tun = config.inbounds[i];
    const std::string where = "inbounds[" + std::to_string(i) + "]";
    if (!tun.interface_name.empty() && !interfaces.insert(tun.interface_name).second) {
      problems.push_back(
          {where + ".interface_name", "\"" + tun.interface_name + "\" is used twice"});
    }
    for (const Prefix& prefix : tun.address) {
      if (!addresses.insert(prefix.address).second) {
        problems.push_back({where + ".address", prefix.address.text() + " is used twice"});
      }
    }
  }
  check_kept_out(problems, config);
  // Tags of outbounds that failed to parse are unknown here: complaining about them would mislead.
  const auto given = root.value().find("outbounds");
  const bool all_parsed = given == root.value().end() || !given->is_array() || given->empty() ||
                          given->size() == config.outbounds.size();
  if (!all_parsed) return;
  check_dns(problems, config, outbounds);
  check_outbounds(problems, config, outbounds);
  check_reference(problems, "route.final", config.route.final, outbounds, "outbound");
  for (std::size_t i = 0; i < config.route.rules.size(); ++i) {
    const RouteRule& rule = config.route.rules[i];
    const std::string where = "route.rules[" + std::to_string(i) + "]";
    check_reference(problems, where + ".outbound", rule.outbound, outbounds, "outbound");
    check_rule_references(problems, where, rule.rule, inbounds, rule_sets);
  }
  for (std::size_t i = 0; i < config.route.rule_sets.size(); ++i) {
    check_reference(problems, "route.rule_set[" + std::to_string(i) + "].download_detour",
                    config.route.rule_sets[i].download_detour, outbounds, "outbound");
  }
  for (std::size_t i = 0; i < config.dns.rules.size(); ++i) {
    check_rule_references(problems, "dns.rules[" + std::to_string(i) + "]",
                          config.dns.rules[i].rule, inbounds, rule_sets);
  }
}

/// A flow that is left alone, and has reached us, goes where it would have gone without us.
void settle_bypass(Config& config) {
  bool unnamed = false;
  for (RouteRule& rule : config.route.rules) {
    if (rule.action != Action::bypass) continue;
    for (TunInbound& inbound : config.inbounds) inbound.auto_route.bypasses = true;
    if (!rule.outbound.empty()) continue;
    rule.outbound = kBypassOutbound;
    unnamed = true;
  }
  if (unnamed) config.outbounds.push_back({kBypassOutbound, {}, Direct{}});
}

}  // namespace

std::optional<Config> parse_value(const Json& json, Problems& problems) {
  Config config;
  const Reader root(json, "", problems);
  if (!json.is_object()) {
    problems.push_back({"1:1", "expected an object with \"inbounds\" and \"outbounds\""});
    return std::nullopt;
  }
  read_object<Config>(root, kConfigFields, config);
  settle_marks(root, config);
  if (!json.contains("outbounds") || json["outbounds"].empty()) {
    config.outbounds.push_back({"direct", {}, Direct{}});
  }
  check_whole(root, config);
  if (!problems.empty()) return std::nullopt;
  settle_bypass(config);
  return config;
}

std::optional<Config> parse(std::string_view text, Problems& problems) {
  const Json json = parse_json(text, problems);
  if (json.is_null() && !problems.empty()) return std::nullopt;
  return parse_value(json, problems);
}

std::vector<FieldInfo> all_fields() {
  std::vector<FieldInfo> all;
  list_fields<Config>(all, "", kConfigFields);
  list_fields<Log>(all, "log", kLogFields);
  list_fields<TunInbound>(all, "inbounds", tun_fields());
  list_outbound_fields(all);
  list_fields<Route>(all, "route", kRouteFields);
  list_fields<rule::Rule>(all, "route.rules", all_rule_fields(RuleContext::flow));
  list_fields<RouteRule>(all, "route.rules", kActionFields);
  list_fields<RuleSet>(all, "route.rule_set", rule_set_fields());
  list_fields<rule::Rule>(all, "route.rule_set, rules", all_rule_fields(RuleContext::headless));
  list_dns_fields(all);
  return all;
}

}  // namespace hairpin::config
