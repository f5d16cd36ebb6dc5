#include "config/rule_set.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "config/parse.h"

namespace hairpin::config {

void read(const Reader& reader, RuleSet& out);

namespace {

struct Rules {
  std::vector<Prefix> addresses;
};

template <class T>
void ignore(const Reader&, T&) {}

constexpr std::array<Field<Rules>, 1> kRule{{
    {"ip_cidr", "an address with a length, or a list of them",
     [](const Reader& reader, Rules& out) { read(reader, out.addresses); }},
}};

void read_rules(const Reader& reader, std::vector<Prefix>& out) {
  for (const Reader& element : reader.list()) {
    Rules rules;
    read_object<Rules>(element, kRule, rules);
    std::ranges::move(rules.addresses, std::back_inserter(out));
  }
}

constexpr std::array<Field<Rules>, 2> kFile{{
    {"version", "a number", ignore<Rules>},
    {"rules", "a list of rules",
     [](const Reader& reader, Rules& out) { read_rules(reader, out.addresses); }},
}};

void read_type(const Reader& reader, RuleSet&) {
  if (reader.value() != "inline" && reader.value() != "local") {
    reader.expected("\"inline\" or \"local\"");
  }
}

void read_format(const Reader& reader, RuleSet&) {
  if (reader.value() != "source") reader.expected("\"source\"");
}

constexpr std::array<Field<RuleSet>, 5> kFields{{
    {"type", "\"inline\" or \"local\"", read_type},
    {"tag", "a text", [](const Reader& reader, RuleSet& out) { read(reader, out.tag); }},
    {"format", "\"source\"", read_format},
    {"path", "the path of a file",
     [](const Reader& reader, RuleSet& out) { read(reader, out.path); }},
    {"rules", "a list of rules",
     [](const Reader& reader, RuleSet& out) { read_rules(reader, out.addresses); }},
}};

std::vector<Prefix> gather(const Config& config, const std::vector<std::string>& tags,
                           const std::string& where, Problems& problems) {
  std::vector<Prefix> all;
  for (const std::string& tag : tags) {
    const auto set = std::ranges::find(config.route.rule_sets, tag, &RuleSet::tag);
    if (set == config.route.rule_sets.end()) {
      problems.push_back({where, "no rule-set has the tag \"" + tag + "\""});
    } else if (set->addresses.empty()) {
      problems.push_back({where, "the rule-set \"" + tag + "\" has no address"});
    } else {
      std::ranges::copy(set->addresses, std::back_inserter(all));
    }
  }
  return all;
}

}  // namespace

void read(const Reader& reader, RuleSet& out) {
  const std::size_t before = reader.problems().size();
  read_object<RuleSet>(reader, kFields, out);
  if (reader.problems().size() != before) return;
  const auto& json = reader.value();
  if (out.tag.empty()) reader.complain("\"tag\" is missing");
  const bool local = json.value("type", "inline") == "local";
  if (local && out.path.empty()) reader.complain("\"path\" is missing");
  if (local == json.contains("rules")) {
    reader.complain(local ? "\"local\" takes no \"rules\"" : "\"rules\" is missing");
  }
}

std::vector<Field<RuleSet>> rule_set_fields() {
  return {kFields.begin(), kFields.end()};
}

std::vector<Prefix> parse_rule_set(std::string_view text, Problems& problems) {
  Rules rules;
  const std::size_t before = problems.size();
  const auto json = parse_json(text, problems);
  if (problems.size() == before) read_object<Rules>(Reader(json, "", problems), kFile, rules);
  return std::move(rules.addresses);
}

void load_rule_sets(Config& config, Problems& problems) {
  for (RuleSet& set : config.route.rule_sets) {
    if (set.path.empty()) continue;
    std::ifstream file(set.path);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) {
      problems.push_back(
          {"route.rule_set \"" + set.tag + "\"", "read " + set.path + ": " + std::strerror(errno)});
      continue;
    }
    Problems own;
    set.addresses = parse_rule_set(text.str(), own);
    for (Problem& problem : own) {
      problem.where = set.path + (problem.where.empty() ? "" : ": " + problem.where);
      problems.push_back(std::move(problem));
    }
  }
  for (std::size_t i = 0; i < config.inbounds.size(); ++i) {
    AutoRoute& wanted = config.inbounds[i].auto_route;
    const std::string where = "inbounds[" + std::to_string(i) + "].";
    wanted.set_address =
        gather(config, wanted.route_address_set, where + "route_address_set", problems);
    wanted.set_exclude_address = gather(config, wanted.route_exclude_address_set,
                                        where + "route_exclude_address_set", problems);
  }
}

}  // namespace hairpin::config
