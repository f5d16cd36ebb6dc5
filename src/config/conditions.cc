#include "config/conditions.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "config/kinds.h"
#include "rule/expressions.h"

namespace hairpin::config {

namespace {

using rule::Conditions;
using rule::Foreign;
using rule::Rule;

constexpr std::string_view kTexts = "a text or a list of texts";
constexpr std::string_view kNames = "a name or a list of names";
constexpr std::string_view kExpressions = "a regular expression or a list of them";
constexpr std::string_view kPorts = "a port or a list of ports";
constexpr std::string_view kRanges = "a range such as \"1000:2000\", or a list of them";

/// Reads the field into a member of the conditions, by the type of that member.
template <auto Member>
constexpr auto into_condition =
    [](const Reader& reader, Rule& out) { read(reader, out.conditions.*Member); };

void read_ip_version(const Reader& reader, Rule& out) {
  if (reader.value() != 4 && reader.value() != 6) return reader.expected("4 or 6");
  out.conditions.ip_version = reader.value() == 4 ? Family::v4 : Family::v6;
}

template <auto Member>
void read_ports(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    std::uint16_t port = 0;
    read_port(element, port);
    (out.conditions.*Member).push_back({port, port});
  }
}

template <auto Member>
void read_ranges(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    PortRange range;
    read_port_range(element, range);
    (out.conditions.*Member).push_back(range);
  }
}

/// Names as they are asked for: not empty, and not longer than any can be.
template <auto Member>
void read_names(const Reader& reader, Rule& out) {
  constexpr std::size_t kLongest = 4096;
  for (const Reader element : reader.list()) {
    std::string name;
    const std::size_t before = element.problems().size();
    read(element, name);
    if (element.problems().size() != before) continue;
    if (name.empty() || name == "." || name.size() > kLongest) {
      element.expected("a name");
    } else {
      (out.conditions.*Member).push_back(std::move(name));
    }
  }
}

template <auto Member>
void read_expressions(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    std::string text;
    const std::size_t before = element.problems().size();
    read(element, text);
    const std::string problem = rule::expression_problem(text);
    if (!problem.empty()) element.complain("is no regular expression: " + problem);
    if (element.problems().size() == before) (out.conditions.*Member).push_back(std::move(text));
  }
}

constexpr std::array<Field<Rule>, 16> kCommon{{
    {"network", "\"tcp\", \"udp\" or a list of both", into_condition<&Conditions::network>},
    {"domain", kNames, read_names<&Conditions::domain>},
    {"domain_suffix", kNames, read_names<&Conditions::domain_suffix>},
    {"domain_keyword", kTexts, read_names<&Conditions::domain_keyword>},
    {"domain_regex", kExpressions, read_expressions<&Conditions::domain_regex>},
    {"ip_cidr", kPrefixes, into_condition<&Conditions::ip_cidr>},
    {"source_ip_cidr", kPrefixes, into_condition<&Conditions::source_ip_cidr>},
    {"port", kPorts, read_ports<&Conditions::port>},
    {"port_range", kRanges, read_ranges<&Conditions::port>},
    {"source_port", kPorts, read_ports<&Conditions::source_port>},
    {"source_port_range", kRanges, read_ranges<&Conditions::source_port>},
    {"process_name", kTexts, into_condition<&Conditions::process_name>},
    {"process_path", kTexts, into_condition<&Conditions::process_path>},
    {"process_path_regex", kExpressions, read_expressions<&Conditions::process_path_regex>},
    {"invert", kBool, [](const Reader& reader, Rule& out) { read(reader, out.invert); }},
    {"type", "\"default\" or \"logical\"", [](const Reader&, Rule&) {}},  // read before the others
}};

void read_protocols(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    const auto* text = element.value().get_ptr<const std::string*>();
    if (text != nullptr && sniff::parse_protocol(*text)) {
      out.conditions.protocol.push_back(*text);
    } else {
      element.expected("tls, http, ssh, bittorrent, dns, quic, stun, dtls or ntp");
    }
  }
}

void read_user_ids(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    std::uint64_t user = 0;
    const std::size_t before = element.problems().size();
    read_number(element, 0, 0xfffffffe, user);
    if (element.problems().size() == before) {
      out.conditions.user_id.push_back(static_cast<std::uint32_t>(user));
    }
  }
}

void read_macs(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    const auto* text = element.value().get_ptr<const std::string*>();
    const auto mac = text == nullptr ? std::nullopt : parse_mac(*text);
    if (mac) {
      out.conditions.source_mac.push_back(*mac);
    } else {
      element.expected("an address such as \"02:00:5e:00:53:01\"");
    }
  }
}

constexpr std::array<Field<Rule>, 10> kOfFlows{{
    {"source_mac_address", "a hardware address or a list of them", read_macs},
    {"user", "the name of a user, or a list of them", into_condition<&Conditions::user>},
    {"user_id", "the number of a user, or a list of them", read_user_ids},
    {"protocol", "a protocol or a list of them", read_protocols},
    {"inbound", kTexts, into_condition<&Conditions::inbound>},
    {"ip_version", "4 or 6", read_ip_version},
    {"ip_is_private", kBool, into_condition<&Conditions::ip_is_private>},
    {"source_ip_is_private", kBool, into_condition<&Conditions::source_ip_is_private>},
    {"rule_set", "the tag of a rule-set, or a list of them", into_condition<&Conditions::rule_set>},
    {"rule_set_ip_cidr_match_source", kBool,
     into_condition<&Conditions::rule_set_ip_cidr_match_source>},
}};

// ---- rule-sets ----------------------------------------------------------------------------------

struct QueryType {
  std::string_view name;
  std::uint16_t number;
};
/// The types that rule-sets name (IANA, "Resource Record (RR) TYPEs"); any can be given as a
/// number.
constexpr std::array<QueryType, 22> kQueryTypes{{
    {"A", 1},     {"NS", 2},      {"CNAME", 5},  {"SOA", 6},    {"PTR", 12},  {"MX", 15},
    {"TXT", 16},  {"AAAA", 28},   {"SRV", 33},   {"NAPTR", 35}, {"DS", 43},   {"RRSIG", 46},
    {"NSEC", 47}, {"DNSKEY", 48}, {"NSEC3", 50}, {"TLSA", 52},  {"SVCB", 64}, {"HTTPS", 65},
    {"SPF", 99},  {"AXFR", 252},  {"ANY", 255},  {"CAA", 257},
}};

void read_query_types(const Reader& reader, Rule& out) {
  for (const Reader element : reader.list()) {
    const auto* text = element.value().get_ptr<const std::string*>();
    if (text != nullptr) {
      const auto* known = std::ranges::find(kQueryTypes, *text, &QueryType::name);
      if (known == kQueryTypes.end()) {
        element.expected("a type such as \"AAAA\", or its number");
      } else {
        out.conditions.query_type.push_back(known->number);
      }
      continue;
    }
    std::uint64_t number = 0;
    const std::size_t before = element.problems().size();
    read_number(element, 0, 65535, number);
    if (element.problems().size() == before) {
      out.conditions.query_type.push_back(static_cast<std::uint16_t>(number));
    }
  }
}

/// Ping is no flow here: who asks for nothing else never gets it.
void read_networks(const Reader& reader, Rule& out) {
  bool icmp = false;
  for (const Reader element : reader.list()) {
    if (element.value() == "icmp") {
      icmp = true;
      continue;
    }
    Network network = Network::tcp;
    const std::size_t before = element.problems().size();
    read(element, network);
    if (element.problems().size() == before) out.conditions.network.push_back(network);
  }
  if (icmp && out.conditions.network.empty()) {
    out.conditions.foreign.push_back({"network", {"icmp"}});
  }
}

/// The last word of a path.
std::string field_of(const Reader& reader) {
  return reader.path().substr(reader.path().rfind('.') + 1);
}

void keep_texts(const Reader& reader, Rule& out) {
  Foreign foreign{field_of(reader), {}};
  read(reader, foreign.values);
  if (!foreign.values.empty()) out.conditions.foreign.push_back(std::move(foreign));
}

void keep_flag(const Reader& reader, Rule& out) {
  bool flag = false;
  read(reader, flag);
  if (flag) out.conditions.foreign.push_back({field_of(reader), {}});
}

constexpr std::array<std::string_view, 4> kNetworkTypes{"wifi", "cellular", "ethernet", "other"};
constexpr std::string_view kNetworkType = "\"wifi\", \"cellular\", \"ethernet\" or \"other\"";

void keep_network_types(const Reader& reader, Rule& out) {
  const std::size_t before = reader.problems().size();
  for (const Reader element : reader.list()) {
    const bool known = std::ranges::any_of(
        kNetworkTypes, [&element](std::string_view type) { return element.value() == type; });
    if (!known) element.expected(kNetworkType);
  }
  if (reader.problems().size() == before) keep_texts(reader, out);
}

void keep_prefixes(const Reader& reader, Rule& out) {
  const std::size_t before = reader.problems().size();
  std::vector<Prefix> prefixes;
  read(reader, prefixes);
  if (reader.problems().size() == before) keep_texts(reader, out);
}

/// {"wifi": ["2000::/3"]}
void keep_interface_addresses(const Reader& reader, Rule& out) {
  if (!reader.is_object()) return;
  Foreign foreign{field_of(reader), {}};
  for (const auto& [type, value] : reader.value().items()) {
    const Reader member = reader.member(type);
    if (std::ranges::find(kNetworkTypes, type) == kNetworkTypes.end()) {
      complain_unknown(reader, type, kNetworkTypes);
      continue;
    }
    std::vector<Prefix> prefixes;
    read(member, prefixes);
    for (const Prefix& prefix : prefixes) foreign.values.push_back(type + "=" + prefix.text());
  }
  if (!foreign.values.empty()) out.conditions.foreign.push_back(std::move(foreign));
}

constexpr std::array<Field<Rule>, 12> kHeadless{{
    {"query_type", "a type such as \"AAAA\", its number, or a list of them", read_query_types},
    {"adguard_domain", "a line of a list of AdGuard's, or a list of them",
     read_names<&Conditions::adguard_domain>},
    {"package_name", kTexts, keep_texts},
    {"package_name_regex", kExpressions, keep_texts},
    {"wifi_ssid", kTexts, keep_texts},
    {"wifi_bssid", kTexts, keep_texts},
    {"network_type", kNetworkType, keep_network_types},
    {"network_is_expensive", kBool, keep_flag},
    {"network_is_constrained", kBool, keep_flag},
    {"default_interface_address", kPrefixes, keep_prefixes},
    {"network_interface_address", "an object of addresses by type of network",
     keep_interface_addresses},
    {"network", "\"tcp\", \"udp\", \"icmp\" or a list of them", read_networks},
}};

// ---- logical rules ------------------------------------------------------------------------------

void read_mode(const Reader& reader, Rule& out) {
  if (reader.value() == "and") {
    out.kind = Rule::Kind::all;
  } else if (reader.value() == "or") {
    out.kind = Rule::Kind::any;
  } else {
    reader.expected("\"and\" or \"or\"");
  }
}

constexpr std::array<Field<Rule>, 4> kLogical{{
    {"type", "\"default\" or \"logical\"", [](const Reader&, Rule&) {}},
    {"mode", "\"and\" or \"or\"", read_mode},
    {"rules", "a list of rules", [](const Reader&, Rule&) {}},  // read behind the others
    {"invert", kBool, [](const Reader& reader, Rule& out) { read(reader, out.invert); }},
}};

template <std::size_t... Sizes>
std::vector<Field<Rule>> join(const std::array<Field<Rule>, Sizes>&... tables) {
  std::vector<Field<Rule>> all;
  (all.insert(all.end(), tables.begin(), tables.end()), ...);
  return all;
}

std::vector<Field<Rule>> condition_fields(RuleContext context) {
  if (context == RuleContext::question) {
    auto fields = join(kCommon, kOfFlows);
    fields.push_back(kHeadless[0]);  // query_type
    return fields;
  }
  return context == RuleContext::flow ? join(kCommon, kOfFlows) : join(kHeadless, kCommon);
}

void read_at_depth(const Reader& reader, RuleContext context, Rule& out, unsigned depth);

void read_inner(const Reader& reader, RuleContext context, Rule& out, unsigned depth) {
  if (out.kind == Rule::Kind::conditions || !reader.value().contains("rules")) return;
  if (depth > rule::kMaxDepth) return reader.complain("is nested too deeply");
  if (reader.member("rules").list().empty()) reader.member("rules").complain("is empty");
  for (const Reader element : reader.member("rules").list()) {
    Rule inner;
    read_at_depth(element, context, inner, depth);
    out.rules.push_back(std::move(inner));
  }
}

void read_at_depth(const Reader& reader, RuleContext context, Rule& out, unsigned depth) {
  if (!reader.is_object()) return;
  read_object<Rule>(reader, rule_fields(reader, context, out), out);
  read_inner(reader, context, out, depth + 1);
}

}  // namespace

std::vector<Field<Rule>> rule_fields(const Reader& reader, RuleContext context, Rule& out) {
  const auto& json = reader.value();
  const auto type = json.is_object() ? json.find("type") : json.end();
  if (type == json.end() || *type == "default") return condition_fields(context);
  if (*type != "logical") {
    reader.member("type").expected("\"default\" or \"logical\"");
    return condition_fields(context);
  }
  out.kind = Rule::Kind::all;
  if (!json.contains("mode")) reader.complain("\"mode\" is missing: \"and\" or \"or\"");
  if (!json.contains("rules")) reader.complain("\"rules\" is missing");
  return join(kLogical);
}

void read_inner_rules(const Reader& reader, RuleContext context, Rule& out) {
  read_inner(reader, context, out, 1);
}

void read_rule(const Reader& reader, RuleContext context, Rule& out) {
  read_at_depth(reader, context, out, 0);
}

std::vector<Field<Rule>> all_rule_fields(RuleContext context) {
  auto all = condition_fields(context);
  for (const Field<Rule>& field : kLogical) {
    if (std::ranges::find(all, field.name, &Field<Rule>::name) == all.end()) all.push_back(field);
  }
  return all;
}

// ---- writing ------------------------------------------------------------------------------------

namespace {

using OrderedJson = nlohmann::ordered_json;

template <class T>
void put(OrderedJson& out, const char* field, const std::vector<T>& values) {
  if (!values.empty()) out[field] = values;
}

void put_prefixes(OrderedJson& out, const char* field, const std::vector<Interval>& intervals) {
  for (const Interval& interval : intervals) {
    for (const Prefix& prefix : prefixes_of(interval)) out[field].push_back(prefix.text());
  }
}

void put_ports(OrderedJson& out, const char* one, const char* range,
               const std::vector<PortRange>& ports) {
  for (const PortRange& port : ports) {
    if (port.first == port.last) {
      out[one].push_back(port.first);
    } else {
      out[range].push_back(rule::text_of(port));
    }
  }
}

void put_foreign(OrderedJson& out, const Foreign& foreign) {
  if (foreign.values.empty()) {
    out[foreign.field] = true;
  } else if (foreign.field == "network_interface_address") {
    for (const std::string& value : foreign.values) {
      const std::size_t equals = value.find('=');
      out[foreign.field][value.substr(0, equals)].push_back(value.substr(equals + 1));
    }
  } else {
    out[foreign.field] = foreign.values;
  }
}

void put_query_types(OrderedJson& out, const std::vector<std::uint16_t>& numbers) {
  for (const std::uint16_t number : numbers) {
    const auto* known = std::ranges::find(kQueryTypes, number, &QueryType::number);
    if (known == kQueryTypes.end()) {
      out["query_type"].push_back(number);
    } else {
      out["query_type"].push_back(known->name);
    }
  }
}

}  // namespace

OrderedJson to_json(const Rule& rule) {
  OrderedJson out = OrderedJson::object();
  if (rule.kind != Rule::Kind::conditions) {
    out["type"] = "logical";
    out["mode"] = rule.kind == Rule::Kind::all ? "and" : "or";
    out["rules"] = OrderedJson::array();
    for (const Rule& inner : rule.rules) out["rules"].push_back(to_json(inner));
  } else {
    const Conditions& of = rule.conditions;
    put_query_types(out, of.query_type);
    for (const Network network : of.network) out["network"].push_back(rule::name(network));
    put(out, "domain", of.domain);
    put(out, "domain_suffix", of.domain_suffix);
    put(out, "domain_keyword", of.domain_keyword);
    put(out, "domain_regex", of.domain_regex);
    put(out, "adguard_domain", of.adguard_domain);
    put_prefixes(out, "source_ip_cidr", of.source_ip_cidr);
    put_prefixes(out, "ip_cidr", of.ip_cidr);
    put_ports(out, "source_port", "source_port_range", of.source_port);
    put_ports(out, "port", "port_range", of.port);
    put(out, "process_name", of.process_name);
    put(out, "process_path", of.process_path);
    put(out, "process_path_regex", of.process_path_regex);
    for (const Foreign& foreign : of.foreign) put_foreign(out, foreign);
  }
  if (rule.invert) out["invert"] = true;
  return out;
}

}  // namespace hairpin::config
