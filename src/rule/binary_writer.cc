#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <span>

#include "rule/binary.h"
#include "rule/binary_format.h"
#include "rule/names.h"

namespace hairpin::rule {

namespace {

class Output {
 public:
  void byte(unsigned value) { bytes_.push_back(static_cast<char>(value)); }
  void number(std::uint64_t value, unsigned size) {
    for (unsigned i = size; i-- > 0;) byte(static_cast<unsigned>(value >> (8 * i) & 0xff));
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<unsigned>(value & 0x7f) | 0x80);
    byte(static_cast<unsigned>(value));
  }
  void text(std::string_view value) {
    varint(value.size());
    bytes_ += value;
  }
  void texts(Item item, const std::vector<std::string>& values) {
    if (values.empty()) return;
    byte(item);
    varint(values.size());
    for (const std::string& value : values) text(value);
  }
  void address(const IpAddr& address) {
    varint(address.size());
    for (const std::uint8_t value : address.bytes()) byte(value);
  }
  void ranges(Item item, const std::vector<Interval>& intervals) {
    if (intervals.empty()) return;
    const auto all = merged(intervals);
    byte(item);
    byte(1);
    number(all.size(), 8);
    for (const Interval& interval : all) {
      address(interval.first);
      address(interval.last);
    }
  }
  void keys(Item item, std::vector<std::string> keys_) {
    if (keys_.empty()) return;
    const Trie trie = trie_of(std::move(keys_));
    byte(item);
    byte(1);
    for (const auto* words : {&trie.leaves, &trie.bitmap}) {
      varint(words->size());
      for (const std::uint64_t word : *words) number(word, 8);
    }
    text(trie.labels);
  }
  void ports(Item one, Item range, const std::vector<PortRange>& ranges_) {
    std::vector<std::uint16_t> single;
    std::vector<std::string> wide;
    for (const PortRange& port : ranges_) {
      if (port.first == port.last) {
        single.push_back(port.first);
      } else {
        wide.push_back(text_of(port));
      }
    }
    numbers(one, single);
    texts(range, wide);
  }
  void numbers(Item item, const std::vector<std::uint16_t>& values) {
    if (values.empty()) return;
    byte(item);
    varint(values.size());
    for (const std::uint16_t value : values) number(value, 2);
  }

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

unsigned type_number(std::string_view name) {
  const auto* found = std::ranges::find(kNetworkTypes, name);
  return static_cast<unsigned>(found - kNetworkTypes.begin());
}

void put_prefix(Output& out, std::string_view text) {
  const auto prefix = Prefix::parse(text).value_or(Prefix{});
  out.address(prefix.address);
  out.byte(prefix.length);
}

void put_foreign(Output& out, const Foreign& foreign) {
  for (const ForeignItem& known : kForeignItems) {
    if (known.field != foreign.field) continue;
    if (known.texts) return out.texts(known.item, foreign.values);
    return out.byte(known.item);
  }
  if (foreign.field == "network") return out.texts(kNetwork, foreign.values);
  if (foreign.field == "network_type") {
    out.byte(kNetworkType);
    out.varint(foreign.values.size());
    for (const std::string& value : foreign.values) out.byte(type_number(value));
  } else if (foreign.field == "default_interface_address") {
    out.byte(kDefaultInterfaceAddress);
    out.varint(foreign.values.size());
    for (const std::string& value : foreign.values) put_prefix(out, value);
  } else if (foreign.field == "network_interface_address") {
    std::map<unsigned, std::vector<std::string_view>> by_type;
    for (const std::string_view value : foreign.values) {
      const std::size_t equals = value.find('=');
      by_type[type_number(value.substr(0, equals))].push_back(value.substr(equals + 1));
    }
    out.byte(kNetworkInterfaceAddress);
    out.varint(by_type.size());
    for (const auto& [type, prefixes] : by_type) {
      out.byte(type);
      out.varint(prefixes.size());
      for (const std::string_view prefix : prefixes) put_prefix(out, prefix);
    }
  }
}

void put_conditions(Output& out, const Conditions& of, unsigned version) {
  out.numbers(kQueryType, of.query_type);
  std::vector<std::string> networks;
  for (const Network network : of.network) networks.emplace_back(name(network));
  out.texts(kNetwork, networks);
  out.keys(kDomain, keys_of(Names{of.domain, of.domain_suffix, {}}, version == 1));
  out.texts(kDomainKeyword, of.domain_keyword);
  out.texts(kDomainRegex, of.domain_regex);
  out.ranges(kSourceIpCidr, of.source_ip_cidr);
  out.ranges(kIpCidr, of.ip_cidr);
  out.ports(kSourcePort, kSourcePortRange, of.source_port);
  out.ports(kPort, kPortRange, of.port);
  out.texts(kProcessName, of.process_name);
  out.texts(kProcessPath, of.process_path);
  out.texts(kProcessPathRegex, of.process_path_regex);
  for (const Foreign& foreign : of.foreign) put_foreign(out, foreign);
  out.keys(kAdguardDomain, keys_of_adguard(of.adguard_domain));
  out.byte(kEnd);
}

void put_rule(Output& out, const Rule& rule, unsigned version) {
  const bool logical = rule.kind != Rule::Kind::conditions;
  out.byte(logical ? 1 : 0);
  if (logical) {
    out.byte(rule.kind == Rule::Kind::all ? 0 : 1);
    out.varint(rule.rules.size());
    for (const Rule& inner : rule.rules) put_rule(out, inner, version);
  } else {
    put_conditions(out, rule.conditions, version);
  }
  out.byte(rule.invert ? 1 : 0);
}

/// The first version that has all of these rules.
unsigned version_of(const std::vector<Rule>& rules) {
  unsigned version = 1;
  for (const Rule& rule : rules) {
    version = std::max(version, version_of(rule.rules));
    if (!rule.conditions.adguard_domain.empty()) version = std::max(version, 2U);
    for (const Foreign& foreign : rule.conditions.foreign) {
      const auto* known = std::ranges::find(kForeignItems, foreign.field, &ForeignItem::field);
      unsigned since = foreign.field == "network" ? 1 : 3;  // or network_type
      if (known != kForeignItems.end()) since = known->version;
      if (foreign.field.ends_with("interface_address")) since = 4;
      version = std::max(version, since);
    }
  }
  return version;
}

/// The name of a member that has no place in a file; empty: there is none.
std::string misplaced(const std::vector<Rule>& rules) {
  for (const Rule& rule : rules) {
    const Conditions& of = rule.conditions;
    if (!of.inbound.empty()) return "inbound";
    if (of.ip_version) return "ip_version";
    if (!of.protocol.empty()) return "protocol";
    if (of.ip_is_private) return "ip_is_private";
    if (of.source_ip_is_private) return "source_ip_is_private";
    if (!of.user.empty()) return "user";
    if (!of.user_id.empty()) return "user_id";
    if (!of.source_mac.empty()) return "source_mac_address";
    if (!of.rule_set.empty()) return "rule_set";
    if (auto inner = misplaced(rule.rules); !inner.empty()) return inner;
  }
  return "";
}

}  // namespace

Result<std::string> write_binary(const RuleSet& set) {
  if (const auto field = misplaced(set.rules); !field.empty()) {
    return Error{"\"" + field + "\" has no place in a binary rule-set"};
  }
  const unsigned needed = version_of(set.rules);
  const unsigned version = std::max(std::min<unsigned>(set.version, 2), needed);
  Output out;
  out.varint(set.rules.size());
  for (const Rule& rule : set.rules) put_rule(out, rule, version);
  const std::string plain = out.take();
  std::string packed(compressBound(static_cast<uLong>(plain.size())), '\0');
  auto size = static_cast<uLongf>(packed.size());
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()),
                Z_BEST_COMPRESSION) != Z_OK) {
    return Error{"pack", ENOMEM};
  }
  packed.resize(size);
  return text_result(std::string(kMagic) + static_cast<char>(version) + packed);
}

}  // namespace hairpin::rule
