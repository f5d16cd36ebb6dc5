#include "rule/explain.h"

#include <algorithm>
#include <cstdio>
#include <map>

namespace hairpin::rule {

namespace {

/// One value of one member, as conditions that ask for nothing else.
struct Single {
  const char* group;  ///< Members of one group are alternatives.
  const char* field;
  std::string value;
  Conditions conditions;
};

constexpr const char* kDestination = "destination";
constexpr const char* kSource = "source";

class Splitter {
 public:
  explicit Splitter(const Conditions& of) : of_(of) {}

  std::vector<Single> run() {
    texts("inbound", "inbound", &Conditions::inbound);
    if (of_.ip_version) {
      add("ip_version", "ip_version", *of_.ip_version == Family::v4 ? "4" : "6").ip_version =
          of_.ip_version;
    }
    for (const Network network : of_.network)
      add("network", "network", name(network)).network = {network};
    texts("protocol", "protocol", &Conditions::protocol);
    for (const std::uint16_t type : of_.query_type) {
      add("query_type", "query_type", std::to_string(type)).query_type = {type};
    }
    texts(kDestination, "domain", &Conditions::domain);
    texts(kDestination, "domain_suffix", &Conditions::domain_suffix);
    texts(kDestination, "domain_keyword", &Conditions::domain_keyword);
    texts(kDestination, "domain_regex", &Conditions::domain_regex);
    texts(kDestination, "adguard_domain", &Conditions::adguard_domain);
    for (const Interval& interval : of_.ip_cidr) {
      add(kDestination, "ip_cidr", interval.text()).ip_cidr = {interval};
    }
    if (of_.ip_is_private) add(kDestination, "ip_is_private", "").ip_is_private = true;
    for (const Interval& interval : of_.source_ip_cidr) {
      add(kSource, "source_ip_cidr", interval.text()).source_ip_cidr = {interval};
    }
    if (of_.source_ip_is_private) {
      add(kSource, "source_ip_is_private", "").source_ip_is_private = true;
    }
    for (const PortRange& range : of_.port) add("port", "port", ports(range)).port = {range};
    for (const PortRange& range : of_.source_port) {
      add("source_port", "source_port", ports(range)).source_port = {range};
    }
    texts("process_name", "process_name", &Conditions::process_name);
    texts("process_path", "process_path", &Conditions::process_path);
    texts("process_path_regex", "process_path_regex", &Conditions::process_path_regex);
    texts("user", "user", &Conditions::user);
    for (const std::uint32_t user : of_.user_id) {
      add("user_id", "user_id", std::to_string(user)).user_id = {user};
    }
    for (const MacAddress& mac : of_.source_mac) {
      add("source_mac_address", "source_mac_address", mac_text(mac)).source_mac = {mac};
    }
    for (const std::string& tag : of_.rule_set) {
      Conditions& one = add("rule_set", "rule_set", tag);
      one.rule_set = {tag};
      one.rule_set_ip_cidr_match_source = of_.rule_set_ip_cidr_match_source;
    }
    for (const Foreign& foreign : of_.foreign) {
      add(foreign.field.c_str(), foreign.field.c_str(), "").foreign = {foreign};
    }
    return std::move(all_);
  }

 private:
  Conditions& add(const char* group, const char* field, std::string value) {
    all_.push_back({group, field, std::move(value), {}});
    return all_.back().conditions;
  }
  void texts(const char* group, const char* field, std::vector<std::string> Conditions::* member) {
    for (const std::string& value : of_.*member) add(group, field, value).*member = {value};
  }
  static std::string ports(const PortRange& range) {
    return range.first == range.last ? std::to_string(range.first) : text_of(range);
  }
  static std::string mac_text(const MacAddress& mac) {
    std::string all;
    for (const std::uint8_t byte : mac) {
      std::array<char, 4> part{};
      std::snprintf(part.data(), part.size(), "%s%02x", all.empty() ? "" : ":", byte);
      all += part.data();
    }
    return all;
  }

  const Conditions& of_;
  std::vector<Single> all_;
};

bool holds(const Rule& rule, const Facts& facts, const FindSet& find) {
  return CompiledRule(rule, find).matches(facts);
}

void append(std::string& text, const std::string& more, const char* between) {
  if (more.empty()) return;
  text += (text.empty() ? "" : between) + more;
}

/// What holds, or the groups of which nothing does.
std::string explain_conditions(const Conditions& conditions, bool whole, const Facts& facts,
                               const FindSet& find) {
  std::map<std::string, bool> groups;
  std::map<std::string, std::string> fields;
  std::vector<std::string> order;
  std::string held;
  for (const Single& single : Splitter(conditions).run()) {
    Rule rule;
    rule.conditions = single.conditions;
    const bool one = holds(rule, facts, find);
    if (!groups.contains(single.group)) order.emplace_back(single.group);
    groups[single.group] |= one;
    std::string& named = fields[single.group];
    if (named != single.field && !named.ends_with(std::string(" ") + single.field)) {
      append(named, single.field, " or ");
    }
    if (one) append(held, single.field + (single.value.empty() ? "" : " " + single.value), ", ");
  }
  if (whole) return held.empty() ? "without conditions" : held;
  std::string missing;
  for (const std::string& group : order) {
    if (!groups[group]) append(missing, fields[group], ", ");
  }
  return missing.empty() ? "rule_set" : missing;
}

}  // namespace

Reason explain(const Rule& rule, const Facts& facts, const FindSet& find) {
  Reason reason{holds(rule, facts, find), ""};
  const bool inner = reason.holds != rule.invert;  // what holds without "invert"
  if (rule.kind == Rule::Kind::conditions) {
    reason.text = explain_conditions(rule.conditions, inner, facts, find);
  } else {
    for (const Rule& one : rule.rules) {
      const Reason part = explain(one, facts, find);
      if (part.holds == inner) append(reason.text, "(" + part.text + ")", ", ");
    }
  }
  if (rule.invert) reason.text = "not (" + reason.text + ")";
  return reason;
}

}  // namespace hairpin::rule
