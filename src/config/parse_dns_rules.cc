// The rules of `dns`: whom to ask, or what to answer.
#include <algorithm>
#include <array>

#include "config/conditions.h"
#include "config/kinds.h"
#include "config/parse_dns.h"
#include "wire/dns.h"

namespace hairpin::config {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kActions = "\"route\", \"route-options\", \"reject\" or \"predefined\"";
constexpr std::string_view kRcodes =
    "\"NOERROR\", \"FORMERR\", \"SERVFAIL\", \"NXDOMAIN\", \"NOTIMP\" or \"REFUSED\"";
constexpr std::string_view kRecords = "a record as in a zone file, or a list of them";

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
    reader.expected(kMethods);
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

constexpr std::array<Field<DnsRule>, 13> kRuleFields{{
    {"ip_accept_any", kBool, into<&DnsRule::ip_accept_any>},
    {"action", kActions, read_action},
    {"method", kMethods, read_method},
    {"no_drop", kBool, into<&DnsRule::no_drop>},
    {"server", kDnsServerTag, into<&DnsRule::server>},
    {"strategy", kStrategies,
     [](const Reader& reader, DnsRule& rule) { read(reader, rule.options.strategy); }},
    {"disable_cache", kBool,
     [](const Reader& reader, DnsRule& rule) { read(reader, rule.options.disable_cache); }},
    {"rewrite_ttl", "a number of seconds, up to 604800", read_ttl},
    {"client_subnet", kSubnet,
     [](const Reader& reader, DnsRule& rule) { read_subnet(reader, rule.options.client_subnet); }},
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
  const bool rejects = json.value("action", Json()) == "reject";
  if (json.contains("method") && !rejects)
    return reader.complain("\"method\" needs action \"reject\"");
  const bool routes = rule.action == DnsAction::route;
  only_with(reader, rule.action == DnsAction::reject, {"no_drop"},
            "\"reject\" with method \"default\"");
  only_with(reader, routes, {"server", "strategy"}, "\"route\"");
  only_with(reader, routes || rule.action == DnsAction::options,
            {"disable_cache", "rewrite_ttl", "client_subnet"}, "\"route\" or \"route-options\"");
  only_with(reader, rule.action == DnsAction::predefined, {"rcode", "answer", "ns", "extra"},
            "\"predefined\"");
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

}  // namespace

void read(const Reader& reader, DnsRule& rule) {
  read_rule(reader, RuleContext::question, rule, kRuleFields, check_action);
}

void list_dns_rule_fields(std::vector<FieldInfo>& all) {
  // The other conditions are those of route.rules.
  all.push_back({"dns.rules", "query_type", "a type such as \"AAAA\""});
  list_fields<DnsRule>(all, "dns.rules", kRuleFields);
}

}  // namespace hairpin::config
