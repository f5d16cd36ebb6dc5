#include "rule/matcher.h"

#include <algorithm>

#include "rule/expressions.h"

namespace hairpin::rule {

namespace {

constexpr unsigned kAsksSourceAddress = 1;
constexpr unsigned kAsksSourcePort = 2;
constexpr unsigned kAsksDestinationAddress = 4;
constexpr unsigned kAsksDestinationPort = 8;

/// A line of AdGuard's as an expression: "||" and "|" in front are the begin of a label and of the
/// name, "^" behind is its end, "*" is anything; without them it is whatever contains the text up
/// to the end of a label.
std::string adguard_expression(std::string_view line) {
  std::string text;
  if (line.starts_with("||")) {
    text = "(?:^|\\.)";
    line.remove_prefix(2);
  } else if (line.starts_with("|")) {
    text = "^";
    line.remove_prefix(1);
  }
  const bool ends = line.ends_with("^");
  if (ends) line.remove_suffix(1);
  if (!ends && line.ends_with(".")) line.remove_suffix(1);
  for (const char c : line) {
    text += c == '*' ? ".*" : quoted(c);
  }
  return text + (ends ? "$" : "(?:\\.|$)");
}

void add_adguard(const std::string& written, DomainSet& names, Expressions& expressions) {
  const std::string line = lower(written);
  const bool plain = line.ends_with("^") && line.find('*') == std::string::npos;
  std::string_view name = line;
  if (plain) name.remove_suffix(1);
  if (plain && name.starts_with("||") && name.size() > 2) {
    names.add(name.substr(2), kExact | kBelow);
  } else if (plain && name.starts_with("|") && name.size() > 1) {
    names.add(name.substr(1), kExact);
  } else if (plain && !name.empty() && !name.starts_with("|")) {
    names.add(name, kLoose);
  } else {
    expressions.add(adguard_expression(line));
  }
}

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

template <class T, class U>
bool lists(const std::vector<T>& values, const U& value) {
  return std::ranges::find(values, value) != values.end();
}

/// No port is 0.
bool in_ranges(const std::vector<PortRange>& ranges, std::uint16_t port) {
  return port != 0 && std::ranges::any_of(ranges, [port](const PortRange& range) {
           return range.first <= port && port <= range.last;
         });
}

std::optional<Family> version_of(const Facts& facts) {
  if (facts.ip_version || !facts.has_address) return facts.ip_version;
  return facts.destination.address.family();
}

/// Ranges in order, none touching another.
std::vector<PortRange> merged(std::vector<PortRange> ranges) {
  std::ranges::sort(ranges, {}, &PortRange::first);
  std::vector<PortRange> all;
  for (const PortRange& range : ranges) {
    if (!all.empty() && range.first <= all.back().last + 1) {
      all.back().last = std::max(all.back().last, range.last);
    } else {
      all.push_back(range);
    }
  }
  return all;
}

Needs both(Needs one, const Needs& other) {
  one.domain |= other.domain;
  one.addresses |= other.addresses;
  one.process |= other.process;
  one.mac |= other.mac;
  one.protocol |= other.protocol;
  one.client |= other.client;
  return one;
}

}  // namespace

/// What a rule is made of. Of `conditions` only the members that are no sets are used.
struct CompiledRule::Parts {
  Rule::Kind kind = Rule::Kind::conditions;
  bool invert = false;
  bool empty = false;
  std::vector<CompiledRule> rules;
  Conditions conditions;
  DomainSet names;
  Expressions name_expressions;
  Expressions path_expressions;
  AddressSet destinations;
  AddressSet sources;
  std::vector<std::shared_ptr<const CompiledSet>> sets;

  bool asks_process() const {
    return !conditions.process_name.empty() || !conditions.process_path.empty() ||
           !conditions.process_path_regex.empty() || !conditions.user.empty() ||
           !conditions.user_id.empty();
  }
  bool asks_domain() const {
    return !conditions.domain.empty() || !conditions.domain_suffix.empty() ||
           !conditions.domain_keyword.empty() || !conditions.domain_regex.empty() ||
           !conditions.adguard_domain.empty();
  }
  bool asks_ip() const { return !destinations.empty() || conditions.ip_is_private; }
  bool asks_destination(const Facts& facts, bool ip_cidr_is_source) const {
    return asks_domain() || (asks_ip() && !ip_cidr_is_source && !facts.before_answer);
  }
  bool asks_source(bool ip_cidr_is_source) const {
    return !sources.empty() || conditions.source_ip_is_private || (asks_ip() && ip_cidr_is_source);
  }

  bool ip_holds(const IpAddr& address) const {
    return destinations.contains(address) || (conditions.ip_is_private && address.is_private());
  }
  bool destination_holds(const Facts& facts, bool ip_cidr_is_source) const {
    if (!facts.domain.empty() && asks_domain()) {
      if (names.contains(facts.domain) || name_expressions.match(facts.domain)) return true;
      for (const std::string& keyword : conditions.domain_keyword) {
        if (facts.domain.find(keyword) != std::string_view::npos) return true;
      }
    }
    if (ip_cidr_is_source || !asks_ip()) return false;
    if (facts.has_address && ip_holds(facts.destination.address)) return true;
    return std::ranges::any_of(facts.addresses,
                               [this](const IpAddr& address) { return ip_holds(address); });
  }
  bool source_holds(const Facts& facts, bool ip_cidr_is_source) const {
    const IpAddr& address = facts.source.address;
    return sources.contains(address) || (conditions.source_ip_is_private && address.is_private()) ||
           (ip_cidr_is_source && ip_holds(address));
  }
  bool process_holds(const Facts& facts) const {
    if (!asks_process()) return true;
    if (facts.process == nullptr) return false;
    const Process& process = *facts.process;
    const auto& of = conditions;
    return (of.process_name.empty() || lists(of.process_name, file_name(process.path))) &&
           (of.process_path.empty() || lists(of.process_path, process.path)) &&
           (of.process_path_regex.empty() || path_expressions.match(process.path)) &&
           (of.user.empty() || (!process.user.empty() && lists(of.user, process.user))) &&
           (of.user_id.empty() || lists(of.user_id, process.user_id));
  }
  /// The members that belong to no group.
  bool others_hold(const Facts& facts) const {
    const Conditions& of = conditions;
    return of.foreign.empty() && (of.inbound.empty() || lists(of.inbound, facts.inbound)) &&
           (!of.ip_version || of.ip_version == version_of(facts)) &&
           (of.network.empty() || lists(of.network, facts.network)) &&
           (of.protocol.empty() || lists(of.protocol, facts.protocol)) &&
           (of.query_type.empty() ||
            (facts.query_type && lists(of.query_type, *facts.query_type))) &&
           (of.source_mac.empty() ||
            (facts.source_mac && lists(of.source_mac, *facts.source_mac))) &&
           process_holds(facts);
  }
};

CompiledRule::CompiledRule(const Rule& rule, const FindSet& find) {
  auto parts = std::make_unique<Parts>();
  parts->kind = rule.kind;
  parts->invert = rule.invert;
  for (const Rule& inner : rule.rules) {
    parts->rules.emplace_back(inner, find);
    needs_ = both(needs_, parts->rules.back().needs());
  }
  const Conditions& of = rule.conditions;
  for (const std::string& name : of.domain) parts->names.add(name, kExact);
  for (const std::string& suffix : of.domain_suffix) parts->names.add_suffix(suffix);
  for (const std::string& line : of.adguard_domain) {
    add_adguard(line, parts->names, parts->name_expressions);
  }
  parts->names.finish();
  for (const std::string& text : of.domain_regex) parts->name_expressions.add(text);
  parts->name_expressions.finish();
  for (const std::string& text : of.process_path_regex) parts->path_expressions.add(text);
  parts->path_expressions.finish();
  parts->destinations = AddressSet(of.ip_cidr);
  parts->sources = AddressSet(of.source_ip_cidr);
  for (const std::string& tag : of.rule_set) {
    if (auto set = find(tag)) {
      needs_ = both(needs_, set->needs());
      parts->sets.push_back(std::move(set));
    }
  }
  // One of a kind is enough to tell that there is any.
  const auto hint = [](const std::vector<std::string>& values) {
    return values.empty() ? values : std::vector<std::string>{values.front()};
  };
  Conditions& kept = parts->conditions;
  kept = {of.inbound,
          of.ip_version,
          of.network,
          of.protocol,
          of.query_type,
          hint(of.domain),
          hint(of.domain_suffix),
          {},
          hint(of.domain_regex),
          hint(of.adguard_domain),
          {},
          of.ip_is_private,
          {},
          of.source_ip_is_private,
          merged(of.port),
          merged(of.source_port),
          of.process_name,
          of.process_path,
          hint(of.process_path_regex),
          of.user,
          of.user_id,
          of.source_mac,
          of.rule_set,
          of.rule_set_ip_cidr_match_source,
          of.foreign};
  for (const std::string& keyword : of.domain_keyword)
    kept.domain_keyword.push_back(lower(keyword));
  parts->empty = is_empty(of);
  needs_ = both(needs_, {parts->asks_domain(), parts->asks_ip(), parts->asks_process(),
                         !of.source_mac.empty(), !of.protocol.empty(),
                         parts->asks_source(of.rule_set_ip_cidr_match_source) ||
                             of.rule_set_ip_cidr_match_source || !of.source_port.empty()});
  parts_ = std::move(parts);
}

CompiledRule::CompiledRule(CompiledRule&&) noexcept = default;
CompiledRule::~CompiledRule() = default;

bool CompiledRule::matches(const Facts& facts) const {
  return match(facts, 0, false) != 0;
}

CompiledRule::States CompiledRule::match(const Facts& facts, State base,
                                         bool ip_cidr_is_source) const {
  // Where nothing is asked there is nothing to invert.
  if (parts_->kind == Rule::Kind::conditions && parts_->empty)
    return static_cast<States>(1U << base);
  // An inverted rule on addresses may hold, whatever else it says, until they are known.
  if (parts_->invert && facts.before_answer && needs_.addresses)
    return static_cast<States>(1U << base);
  // What holds outside must not make an inverted rule fail.
  const State from = parts_->invert ? State{0} : base;
  const States states = parts_->kind == Rule::Kind::conditions
                            ? match_conditions(facts, from, ip_cidr_is_source)
                            : match_rules(facts, from, ip_cidr_is_source);
  if (!parts_->invert) return states;
  return states == 0 ? static_cast<States>(1U << base) : States{0};
}

CompiledRule::States CompiledRule::match_rules(const Facts& facts, State base,
                                               bool ip_cidr_is_source) const {
  if (parts_->kind == Rule::Kind::any) {
    unsigned found = 0;
    for (const CompiledRule& rule : parts_->rules) {
      found |= rule.match(facts, base, ip_cidr_is_source);
    }
    return static_cast<States>(found);
  }
  unsigned all = 1U << base;
  for (const CompiledRule& rule : parts_->rules) {
    const unsigned found = rule.match(facts, base, ip_cidr_is_source);
    unsigned combined = 0;
    for (unsigned one = 0; one < 16; ++one) {
      for (unsigned other = 0; (all >> one & 1) != 0 && other < 16; ++other) {
        if ((found >> other & 1) != 0) combined |= 1U << (one | other);
      }
    }
    all = combined;
    if (all == 0) break;
  }
  return static_cast<States>(all);
}

CompiledRule::States CompiledRule::match_conditions(const Facts& facts, State base,
                                                    bool ip_cidr_is_source) const {
  const Parts& of = *parts_;
  if (!of.others_hold(facts)) return 0;
  unsigned wanted = 0;
  unsigned state = base;
  const auto ask = [&](unsigned group, bool asked, auto holds) {
    if (!asked) return;
    wanted |= group;
    if ((state & group) == 0 && holds()) state |= group;
  };
  const auto& ports = of.conditions.port;
  const auto& source_ports = of.conditions.source_port;
  ask(kAsksDestinationPort, !ports.empty(),
      [&] { return in_ranges(ports, facts.destination.port); });
  ask(kAsksSourcePort, !source_ports.empty(),
      [&] { return in_ranges(source_ports, facts.source.port); });
  ask(kAsksSourceAddress, of.asks_source(ip_cidr_is_source),
      [&] { return of.source_holds(facts, ip_cidr_is_source); });
  ask(kAsksDestinationAddress, of.asks_destination(facts, ip_cidr_is_source),
      [&] { return of.destination_holds(facts, ip_cidr_is_source); });
  if (of.conditions.rule_set.empty()) {
    return (state & wanted) == wanted ? static_cast<States>(1U << state) : States{0};
  }
  const bool source = ip_cidr_is_source || of.conditions.rule_set_ip_cidr_match_source;
  unsigned found = 0;
  for (const auto& set : of.sets) {
    for (const CompiledRule& rule : set->rules_) {
      found |= rule.match(facts, static_cast<State>(state), source);
    }
  }
  unsigned kept = 0;
  for (unsigned one = 0; one < 16; ++one) {
    if ((found >> one & 1) != 0 && (one & wanted) == wanted) kept |= 1U << one;
  }
  return static_cast<States>(kept);
}

std::size_t CompiledRule::memory() const {
  std::size_t bytes =
      parts_->names.memory() + parts_->destinations.memory() + parts_->sources.memory();
  for (const CompiledRule& rule : parts_->rules) bytes += rule.memory();
  return bytes;
}

CompiledSet::CompiledSet(const RuleSet& set) {
  for (const Rule& rule : set.rules) {
    rules_.emplace_back(rule, [](const std::string&) { return nullptr; });
    needs_ = both(needs_, rules_.back().needs());
  }
}

CompiledSet::CompiledSet(CompiledSet&&) noexcept = default;
CompiledSet::~CompiledSet() = default;

bool CompiledSet::matches(const Facts& facts) const {
  return first_match(facts).has_value();
}

std::optional<std::size_t> CompiledSet::first_match(const Facts& facts) const {
  const auto found = std::ranges::find_if(
      rules_, [&facts](const CompiledRule& rule) { return rule.matches(facts); });
  if (found == rules_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - rules_.begin());
}

std::size_t CompiledSet::memory() const {
  std::size_t bytes = 0;
  for (const CompiledRule& rule : rules_) bytes += rule.memory();
  return bytes;
}

}  // namespace hairpin::rule
