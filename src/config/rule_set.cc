#include "config/rule_set.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>

#include "config/conditions.h"
#include "config/country.h"
#include "config/parse.h"
#include "config/url.h"
#include "rule/binary.h"

namespace hairpin::config {

void read(const Reader& reader, RuleSet& out);

namespace {

void compile(RuleSet& out, const rule::RuleSet& rules) {
  out.addresses = rule::addresses_of(rules);
  out.rules = std::make_shared<rule::CompiledSet>(rules);
}

/// A rule without conditions would be for everything: that is nobody's wish.
void check_conditions(const Reader& reader, const rule::Rule& rule) {
  if (rule.kind == rule::Rule::Kind::conditions) {
    if (rule::is_empty(rule.conditions)) reader.complain("has no conditions");
    return;
  }
  for (const rule::Rule& inner : rule.rules) check_conditions(reader, inner);
}

std::vector<rule::Rule> read_rules(const Reader& reader) {
  std::vector<rule::Rule> rules;
  for (const Reader element : reader.list()) {
    rules.emplace_back();
    const std::size_t before = element.problems().size();
    read_rule(element, RuleContext::headless, rules.back());
    if (element.problems().size() == before) check_conditions(element, rules.back());
  }
  return rules;
}

void read_version(const Reader& reader, rule::RuleSet& out) {
  std::uint64_t version = 0;
  read_number(reader, rule::kFirstVersion, rule::kLastVersion, version);
  out.version = static_cast<std::uint8_t>(version);
}

constexpr std::array<Field<rule::RuleSet>, 2> kFile{{
    {"version", "a number from 1 to 5", read_version},
    {"rules", "a list of rules",
     [](const Reader& reader, rule::RuleSet& out) { out.rules = read_rules(reader); }},
}};

constexpr std::string_view kTypes = "\"inline\", \"local\" or \"remote\"";
/// Of remote ones, where nothing else is said.
constexpr std::string_view kFolder = "/var/lib/hairpin/rule-set/";
constexpr Duration kShortestInterval = std::chrono::seconds(1);
constexpr std::string_view kFormats = "\"source\", \"binary\" or \"mmdb\"";

void read_type(const Reader& reader, RuleSet&) {
  const auto& type = reader.value();
  if (type != "inline" && type != "local" && type != "remote") reader.expected(kTypes);
}

void read_format(const Reader& reader, RuleSet& out) {
  if (reader.value() == "source") {
    out.format = RuleSetFormat::source;
  } else if (reader.value() == "binary") {
    out.format = RuleSetFormat::binary;
  } else if (reader.value() == "mmdb") {
    out.format = RuleSetFormat::mmdb;
  } else {
    reader.expected(kFormats);
  }
}

void read_countries(const Reader& reader, RuleSet& out) {
  read(reader, out.country);
  for (const std::string& code : out.country) {
    const bool valid =
        code.size() == 2 && std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!valid)
      reader.complain("expected two capital letters such as \"DE\", got \"" + code + "\"");
  }
}

void read_url(const Reader& reader, RuleSet& out) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  out.url = text == nullptr ? std::nullopt : parse_url(*text);
  if (!out.url) reader.expected("a URL such as \"https://example.com/some.srs\"");
}

void read_interval(const Reader& reader, RuleSet& out) {
  const std::size_t before = reader.problems().size();
  read(reader, out.update_interval);
  if (reader.problems().size() == before && out.update_interval < kShortestInterval)
    reader.complain("is shorter than a second");
}

constexpr std::array<Field<RuleSet>, 9> kFields{{
    {"type", kTypes, read_type},
    {"tag", "a text", [](const Reader& reader, RuleSet& out) { read(reader, out.tag); }},
    {"format", kFormats, read_format},
    {"path", "the path of a file",
     [](const Reader& reader, RuleSet& out) { read(reader, out.path); }},
    {"url", "a URL", read_url},
    {"download_detour", "the tag of an outbound",
     [](const Reader& reader, RuleSet& out) { read(reader, out.download_detour); }},
    {"update_interval", "a duration such as \"24h\"", read_interval},
    {"country", "the code of a country, or a list of them", read_countries},
    {"rules", "a list of rules",
     [](const Reader& reader, RuleSet& out) { compile(out, {0, read_rules(reader)}); }},
}};

/// sing-box's: what the name of a file says.
RuleSetFormat format_of(const std::string& path) {
  if (path.ends_with(".srs")) return RuleSetFormat::binary;
  if (path.ends_with(".mmdb")) return RuleSetFormat::mmdb;
  return RuleSetFormat::source;
}

/// The path of a URL, without the query.
std::string file_of(const Url& url) {
  return url.path.substr(0, url.path.find('?'));
}

/// One file for each tag.
std::string kept_at(const RuleSet& set) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string name;
  for (const char c : set.tag) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    name += plain ? std::string{c} : std::string{'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  const bool binary = set.format == RuleSetFormat::binary;
  const bool countries = set.format == RuleSetFormat::mmdb;
  return std::string(kFolder) + name + (binary ? ".srs" : countries ? ".mmdb" : ".json");
}

std::vector<Interval> gather(const Config& config, const std::vector<std::string>& tags,
                             const std::string& where, Problems& problems) {
  std::vector<Interval> all;
  for (const std::string& tag : tags) {
    const auto set = std::ranges::find(config.route.rule_sets, tag, &RuleSet::tag);
    if (set == config.route.rule_sets.end()) {
      problems.push_back({where, "no rule-set has the tag \"" + tag + "\""});
    } else if (set->rules && set->addresses.empty() && (!set->url || set->stamp)) {
      problems.push_back({where, "the rule-set \"" + tag + "\" has no address"});
    } else {
      std::ranges::copy(set->addresses, std::back_inserter(all));
    }
  }
  return merged(std::move(all));
}

}  // namespace

void read(const Reader& reader, RuleSet& out) {
  const std::size_t before = reader.problems().size();
  read_object<RuleSet>(reader, kFields, out);
  if (reader.problems().size() != before) return;
  const auto& json = reader.value();
  if (out.tag.empty()) reader.complain("\"tag\" is missing");
  const std::string type = json.value("type", "inline");
  const bool remote = type == "remote";
  if (type == "inline") {
    if (!json.contains("rules")) reader.complain("\"rules\" is missing");
    for (const char* field :
         {"format", "path", "country", "url", "download_detour", "update_interval"}) {
      if (json.contains(field))
        reader.member(field).complain("is for files: \"type\" is \"inline\"");
    }
    return;
  }
  if (json.contains("rules")) reader.complain("\"" + type + "\" takes no \"rules\"");
  for (const char* field : {"url", "download_detour", "update_interval"}) {
    if (!remote && json.contains(field))
      reader.member(field).complain("is for \"type\" \"remote\"");
  }
  if (remote && !out.url) return reader.complain("\"url\" is missing");
  if (!json.contains("format")) out.format = format_of(remote ? file_of(*out.url) : out.path);
  if (remote && out.path.empty()) out.path = kept_at(out);
  if (out.path.empty()) reader.complain("\"path\" is missing");
  const bool countries = out.format == RuleSetFormat::mmdb;
  if (countries && out.country.empty())
    reader.complain("\"country\" is missing, for example [\"DE\"]");
  if (!countries && !out.country.empty()) reader.complain("\"country\" needs format \"mmdb\"");
}

std::vector<Field<RuleSet>> rule_set_fields() {
  return {kFields.begin(), kFields.end()};
}

rule::RuleSet parse_rule_set(std::string_view text, Problems& problems) {
  rule::RuleSet set;
  const std::size_t before = problems.size();
  const auto json = parse_json(text, problems);
  if (problems.size() != before) return set;
  const Reader root(json, "", problems);
  read_object<rule::RuleSet>(root, kFile, set);
  if (problems.size() != before) return set;
  if (set.version == 0) root.complain("\"version\" is missing, for example 3");
  if (!json.contains("rules")) root.complain("\"rules\" is missing");
  return set;
}

std::string source_of(const rule::RuleSet& set) {
  nlohmann::ordered_json json;
  json["version"] = set.version;
  json["rules"] = nlohmann::ordered_json::array();
  for (const rule::Rule& rule : set.rules) json["rules"].push_back(to_json(rule));
  // Names in a binary file may be any bytes.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

rule::RuleSet decode_rule_set(const std::string& name, std::string_view bytes, Problems& problems) {
  if (rule::is_binary(bytes)) {
    auto set = rule::read_binary(bytes);
    if (set) return std::move(*set);
    problems.push_back({name, set.error().text()});
    return {};
  }
  Problems own;
  auto set = parse_rule_set(bytes, own);
  for (Problem& problem : own) {
    problem.where = name + (problem.where.empty() ? "" : ": " + problem.where);
    problems.push_back(std::move(problem));
  }
  return set;
}

Result<> read_file(const std::string& path, std::string& out) {
  std::error_code unknown;  // opening says it better
  if (std::filesystem::is_directory(path, unknown)) return Error{"read " + path, EISDIR};
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return last_error("read " + path);
  std::array<char, 65536> block{};
  while (file.read(block.data(), block.size()), file.gcount() > 0) {
    out.append(block.data(), static_cast<std::size_t>(file.gcount()));
    if (out.size() > rule::kMaxUnpacked) return Error{"read " + path + ": it has more than 64 MiB"};
  }
  if (file.bad()) return last_error("read " + path);
  return {};
}

namespace {

void load(RuleSet& set, Problems& problems) {
  const std::string where = "route.rule_set \"" + set.tag + "\"";
  set.stamp = stamp_of(set.path);
  if (set.url && !set.stamp) return compile(set, {});  // to be fetched
  if (set.format == RuleSetFormat::mmdb) {
    auto addresses = read_countries_of(set.path, set.country);
    if (!addresses) return problems.push_back({where, addresses.error().text()});
    rule::RuleSet rules{0, {rule::Rule{}}};
    rules.rules[0].conditions.ip_cidr = std::move(*addresses);
    return compile(set, rules);
  }
  std::string bytes;
  if (auto read = read_file(set.path, bytes); !read) {
    return problems.push_back({where, read.error().text()});
  }
  const bool binary = rule::is_binary(bytes);
  if (binary != (set.format == RuleSetFormat::binary)) {
    return problems.push_back(
        {where, set.path + " is no file of format \"" + (binary ? "source" : "binary") + "\""});
  }
  const std::size_t before = problems.size();
  const auto rules = decode_rule_set(set.path, bytes, problems);
  if (problems.size() == before) compile(set, rules);
}

}  // namespace

void load_rule_set(RuleSet& set, Problems& problems) {
  try {
    load(set, problems);
  } catch (const std::bad_alloc&) {
    problems.push_back({"route.rule_set \"" + set.tag + "\"", "there is not enough memory for it"});
  }
}

void load_rule_sets(Config& config, Problems& problems) {
  for (RuleSet& set : config.route.rule_sets) {
    if (!set.rules) load_rule_set(set, problems);
  }
  gather_addresses(config, problems);
}

void gather_addresses(Config& config, Problems& problems) {
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
