#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <memory>
#include <span>

#include "rule/binary.h"
#include "rule/binary_format.h"
#include "rule/expressions.h"
#include "rule/names.h"

namespace hairpin::rule {

namespace {

/// What a file may have in all, however short each is: they take more room than they took there.
constexpr std::size_t kMaxRules = 100'000;
constexpr std::size_t kMaxTexts = 8'000'000;

/// Unpacked bytes on their way into values. After the first mistake everything reads as nothing,
/// and `problem` says what it was.
class Input {
 public:
  explicit Input(std::string_view bytes) : rest_(bytes) {}

  const std::string& problem() const { return problem_; }
  bool failed() const { return !problem_.empty(); }
  bool at_end() const { return rest_.empty(); }
  void fail(std::string problem) {
    if (failed()) return;
    problem_ = std::move(problem);
    rest_ = {};
  }

  std::string_view take(std::size_t size) {
    if (size > rest_.size()) {
      fail("the file ends in the middle");
      return {};
    }
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::uint8_t byte() {
    const auto taken = take(1);
    return taken.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(taken[0]);
  }
  bool flag() { return byte() != 0; }
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (const char c : take(size)) value = value << 8 | static_cast<std::uint8_t>(c);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint64_t next = byte();
      value |= (next & 0x7f) << shift;
      if ((next & 0x80) == 0) return value;
    }
    fail("a number has more than 64 bits");
    return 0;
  }
  /// How many of something follow, each of at least `least` bytes: so many must be there.
  std::size_t count(std::uint64_t announced, std::size_t least) {
    if (announced <= rest_.size() / least) return static_cast<std::size_t>(announced);
    fail("the file announces " + std::to_string(announced) + " of something, and ends before them");
    return 0;
  }
  std::size_t count(std::size_t least) { return count(varint(), least); }

  /// A condition without values could be taken for none at all.
  std::size_t some(std::size_t least) {
    const std::size_t announced = count(least);
    if (announced == 0) fail("a condition has no values");
    return announced;
  }

  std::string text() { return std::string(take(count(1))); }
  std::vector<std::string> texts() {
    const std::size_t wanted = count(1);
    if (wanted == 0) fail("a condition has no values");
    if (wanted > kMaxTexts - texts_) fail("there are more than 8,000,000 texts");
    if (!failed()) texts_ += wanted;
    std::vector<std::string> all(failed() ? 0 : wanted);
    for (std::string& text_ : all) text_ = text();
    return all;
  }
  void count_rule() {
    if (++rules_ > kMaxRules) fail("there are more than 100,000 rules");
  }
  /// Names that the file may still have.
  Limits names_left() const { return {kMaxTexts - texts_, kMaxUnpacked - name_bytes_}; }
  void count_names(const std::vector<std::string>& names) {
    texts_ += names.size();
    for (const std::string& one : names) name_bytes_ += one.size();
  }
  std::vector<std::uint64_t> words() {
    std::vector<std::uint64_t> all(count(8));
    for (std::uint64_t& word : all) word = number(8);
    return all;
  }
  IpAddr address() {
    const std::uint64_t size = varint();
    if (size != 4 && size != 16) {
      fail("an address has " + std::to_string(size) + " bytes");
      return {};
    }
    const auto bytes = take(static_cast<std::size_t>(size));
    if (bytes.empty()) return {};
    return IpAddr::from_wire(std::as_bytes(std::span(bytes)));
  }

 private:
  std::string_view rest_;
  std::string problem_;
  std::size_t rules_ = 0;
  std::size_t texts_ = 0;
  std::size_t name_bytes_ = 0;
};

std::vector<Interval> read_ranges(Input& in) {
  if (const auto version = in.byte(); version != 1) {
    in.fail("a set of addresses has the unknown version " + std::to_string(version));
  }
  std::vector<Interval> ranges(in.count(in.number(8), 10));
  if (ranges.empty()) in.fail("a set of addresses is empty");
  for (Interval& range : ranges) {
    range = {in.address(), in.address()};
    if (range.first.family() != range.last.family() || range.first > range.last) {
      in.fail("a range of addresses ends before it begins");
    }
  }
  return ranges;
}

std::vector<std::string> read_keys(Input& in) {
  in.byte();  // a version that nobody looks at
  Trie trie;
  trie.leaves = in.words();
  trie.bitmap = in.words();
  trie.labels = in.text();
  if (in.failed()) return {};
  auto keys = keys_of(trie, in.names_left());
  if (keys && keys->empty()) in.fail("a set of names is empty");
  if (keys) in.count_names(*keys);
  if (keys) return std::move(*keys);
  in.fail("a set of names is damaged, or too large");
  return {};
}

void read_ports(Input& in, std::vector<PortRange>& out) {
  const std::size_t count = in.some(2);
  for (std::size_t i = 0; i < count; ++i) {
    const auto port = static_cast<std::uint16_t>(in.number(2));
    out.push_back({port, port});
  }
}

void read_port_ranges(Input& in, std::vector<PortRange>& out) {
  for (const std::string& text : in.texts()) {
    const auto range = parse_port_range(text);
    if (!range) return in.fail("\"" + text + "\" is no range of ports");
    out.push_back(*range);
  }
}

std::string read_prefix(Input& in) {
  const IpAddr address = in.address();
  const Prefix prefix{address, in.byte()};
  if (prefix.length > address.bits()) in.fail("a prefix is longer than its address");
  return prefix.text();
}

std::string network_type(Input& in, std::uint8_t number) {
  if (number < kNetworkTypes.size()) return std::string(kNetworkTypes[number]);
  in.fail("unknown type of network " + std::to_string(number));
  return "";
}

void read_foreign(Input& in, Item item, std::vector<Foreign>& out) {
  for (const ForeignItem& known : kForeignItems) {
    if (known.item != item) continue;
    out.push_back(
        {std::string(known.field), known.texts ? in.texts() : std::vector<std::string>{}});
    return;
  }
  Foreign foreign;
  if (item == kNetworkType) {
    foreign.field = "network_type";
    for (const char type : in.text()) {
      foreign.values.push_back(network_type(in, static_cast<std::uint8_t>(type)));
    }
  } else if (item == kDefaultInterfaceAddress) {
    foreign.field = "default_interface_address";
    for (std::size_t left = in.count(6); left > 0; --left)
      foreign.values.push_back(read_prefix(in));
  } else if (item == kNetworkInterfaceAddress) {
    foreign.field = "network_interface_address";
    for (std::size_t types = in.count(2); types > 0; --types) {
      const std::string type = network_type(in, in.byte());
      for (std::size_t left = in.count(6); left > 0; --left) {
        foreign.values.push_back(type + "=" + read_prefix(in));
      }
    }
  } else {
    return in.fail("unknown kind of condition " + std::to_string(item) +
                   ": written by a newer program?");
  }
  out.push_back(std::move(foreign));
}

void read_networks(Input& in, Conditions& out) {
  for (const std::string& text : in.texts()) {
    if (text == "tcp") {
      out.network.push_back(Network::tcp);
    } else if (text == "udp") {
      out.network.push_back(Network::udp);
    } else if (text != kIcmp) {
      in.fail("unknown network \"" + text + "\"");
    }
  }
  if (out.network.empty()) out.foreign.push_back({"network", {kIcmp}});  // no flow here is
}

void read_item(Input& in, Item item, Conditions& out) {
  switch (item) {
    case kQueryType:
      for (std::size_t left = in.some(2); left > 0; --left) {
        out.query_type.push_back(static_cast<std::uint16_t>(in.number(2)));
      }
      return;
    case kNetwork:
      return read_networks(in, out);
    case kDomain: {
      Names names = names_of(read_keys(in));
      if (is_empty(names)) in.fail("a set of names is empty");
      out.domain = std::move(names.domain);
      out.domain_suffix = std::move(names.domain_suffix);
      std::ranges::move(names.expressions, std::back_inserter(out.domain_regex));
      return;
    }
    case kDomainKeyword:
      out.domain_keyword = in.texts();
      return;
    case kDomainRegex:
      std::ranges::move(in.texts(), std::back_inserter(out.domain_regex));
      return;
    case kSourceIpCidr:
      out.source_ip_cidr = read_ranges(in);
      return;
    case kIpCidr:
      out.ip_cidr = read_ranges(in);
      return;
    case kSourcePort:
      return read_ports(in, out.source_port);
    case kSourcePortRange:
      return read_port_ranges(in, out.source_port);
    case kPort:
      return read_ports(in, out.port);
    case kPortRange:
      return read_port_ranges(in, out.port);
    case kProcessName:
      out.process_name = in.texts();
      return;
    case kProcessPath:
      out.process_path = in.texts();
      return;
    case kProcessPathRegex:
      out.process_path_regex = in.texts();
      return;
    case kAdguardDomain:
      out.adguard_domain = adguard_lines_of(read_keys(in));
      return;
    default:
      return read_foreign(in, item, out.foreign);
  }
}

void check_expressions(Input& in, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    const std::string problem = expression_problem(text);
    if (!problem.empty()) in.fail("\"" + text + "\" is no regular expression: " + problem);
  }
}

Rule read_rule(Input& in, unsigned depth);

std::vector<Rule> read_rules(Input& in, unsigned depth) {
  std::vector<Rule> rules;
  const std::size_t count = in.count(3);
  for (std::size_t i = 0; i < count && !in.failed(); ++i) rules.push_back(read_rule(in, depth));
  return rules;
}

Rule read_rule(Input& in, unsigned depth) {
  in.count_rule();
  Rule rule;
  const std::uint8_t type = in.byte();
  if (type == 1) {
    const std::uint8_t mode = in.byte();
    if (mode > 1) in.fail("unknown mode " + std::to_string(mode) + " of a logical rule");
    if (depth >= kMaxDepth) in.fail("logical rules are nested too deeply");
    rule.kind = mode == 0 ? Rule::Kind::all : Rule::Kind::any;
    rule.rules = read_rules(in, depth + 1);
    if (rule.rules.empty()) in.fail("a logical rule has no rules");
  } else if (type == 0) {
    for (auto item = static_cast<Item>(in.byte()); item != kEnd && !in.failed();
         item = static_cast<Item>(in.byte())) {
      read_item(in, item, rule.conditions);
    }
    if (is_empty(rule.conditions)) in.fail("a rule has no conditions");
    check_expressions(in, rule.conditions.domain_regex);
    check_expressions(in, rule.conditions.process_path_regex);
  } else {
    in.fail("unknown type " + std::to_string(type) + " of a rule");
  }
  rule.invert = in.flag();
  return rule;
}

Result<std::string> unpack(std::string_view packed) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return Error{"unpack", ENOMEM};
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> owner(&stream, &inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string unpacked;
  std::array<char, 65536> block{};
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = block.size();
    const int status = inflate(&stream, Z_NO_FLUSH);
    unpacked.append(block.data(), block.size() - stream.avail_out);
    if (unpacked.size() > kMaxUnpacked) return Error{"it unpacks to more than 64 MiB"};
    if (status == Z_STREAM_END) return text_result(std::move(unpacked));
    if (status == Z_BUF_ERROR ||
        (status == Z_OK && stream.avail_in == 0 && stream.avail_out != 0)) {
      return Error{"the file ends in the middle"};
    }
    if (status != Z_OK) return Error{"it cannot be unpacked: the file is damaged"};
  }
}

}  // namespace

bool is_binary(std::string_view bytes) {
  return bytes.starts_with(kMagic);
}

Result<RuleSet> read_binary(std::string_view bytes) {
  if (!is_binary(bytes)) return Error{"it is no rule-set: it does not begin with \"SRS\""};
  if (bytes.size() <= kMagic.size()) return Error{"the file ends in the middle"};
  RuleSet set;
  set.version = static_cast<std::uint8_t>(bytes[kMagic.size()]);
  if (set.version < kFirstVersion || set.version > kLastVersion) {
    return Error{"it has version " + std::to_string(set.version) + " of the format; known are " +
                 std::to_string(kFirstVersion) + " to " + std::to_string(kLastVersion)};
  }
  const auto unpacked = unpack(bytes.substr(kMagic.size() + 1));
  if (!unpacked) return unpacked.error();
  Input in(*unpacked);
  const std::size_t count = in.count(3);
  for (std::size_t i = 0; i < count && !in.failed(); ++i) {
    set.rules.push_back(read_rule(in, 0));
    if (in.failed()) return Error{"rules[" + std::to_string(i) + "]: " + in.problem()};
  }
  if (in.failed()) return Error{in.problem()};
  if (!in.at_end()) return Error{"there is more behind its last rule"};
  return set;
}
}  // namespace hairpin::rule
