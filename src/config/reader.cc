#include "config/reader.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>

#include "config/parse.h"

namespace hairpin::config {

namespace {

using Json = nlohmann::json;

std::string describe(const Json& value) {
  constexpr std::size_t kLongest = 40;
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "…";
  return text;
}

/// Read from text such a number is "unsigned"; put there by code it may be "integer".
bool is_natural(const Json& value) {
  return value.is_number_unsigned() ||
         (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}

/// Levenshtein's distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0U);
  for (const char c : a) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t change = diagonal + (c == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, change});
    }
  }
  return row.back();
}

}  // namespace

void Reader::expected(std::string_view what) const {
  complain("expected " + std::string(what) + ", got " + describe(*value_));
}

Reader Reader::member(const std::string& key) const {
  static const Json kNone;
  const auto found = value_->find(key);
  return {found == value_->end() ? kNone : *found, path_.empty() ? key : path_ + "." + key,
          *problems_};
}

Reader Reader::element(std::size_t index) const {
  return {(*value_)[index], path_ + "[" + std::to_string(index) + "]", *problems_};
}

bool Reader::is_object() const {
  if (!value_->is_object()) expected("an object");
  return value_->is_object();
}

std::string nearest(std::string_view name, std::span<const std::string_view> known) {
  constexpr std::size_t kLongest = 64;  // a longer name is no slip of a finger
  if (name.size() > kLongest) return "";
  std::string_view best;
  std::size_t least = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t apart = distance(name, candidate);
    if (apart < least) {
      least = apart;
      best = candidate;
    }
  }
  return std::string(best);
}

void complain_unknown(const Reader& object, const std::string& key,
                      std::span<const std::string_view> keys) {
  const std::string guess = nearest(key, keys);
  std::string message = "unknown field";
  if (!guess.empty()) {
    message += "; did you mean \"" + guess + "\"?";
  } else {
    message += "; known here:";
    for (const std::string_view name : keys) message += " " + std::string(name);
  }
  object.member(key).complain(std::move(message));
}

void check_reference(Problems& problems, std::string where, const std::string& tag,
                     const std::set<std::string>& tags, const char* what) {
  if (tag.empty() || tags.contains(tag)) return;
  const std::vector<std::string_view> names(tags.begin(), tags.end());
  const std::string guess = nearest(tag, names);
  problems.push_back(
      {std::move(where), std::string("no ") + what + " has the tag \"" + tag + "\"" +
                             (guess.empty() ? "" : "; did you mean \"" + guess + "\"?")});
}

void read(const Reader& reader, bool& out) {
  if (!reader.value().is_boolean()) return reader.expected("true or false");
  out = reader.value().get<bool>();
}

void read(const Reader& reader, std::string& out) {
  if (!reader.value().is_string()) return reader.expected("a text");
  out = reader.value().get<std::string>();
}

std::optional<MacAddress> parse_mac(const std::string& text) {
  std::array<unsigned, 6> bytes{};
  int end = 0;
  const int count = std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &bytes[0], &bytes[1],
                                &bytes[2], &bytes[3], &bytes[4], &bytes[5], &end);
  if (count != 6 || static_cast<std::size_t>(end) != text.size()) return std::nullopt;
  MacAddress address;
  std::ranges::transform(bytes, address.begin(),
                         [](unsigned byte) { return static_cast<std::uint8_t>(byte); });
  return address;
}

std::optional<Duration> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::uint64_t milliseconds;
  };
  constexpr std::array<Unit, 5> kUnits{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  constexpr std::uint64_t kLongest = 366ULL * 86'400'000;
  std::uint64_t total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto rest = text.substr(digits);
    const auto letters = std::min(rest.find_first_of("0123456789"), rest.size());
    const auto number = parse_number(text.substr(0, digits), kLongest);
    const auto* unit = std::ranges::find(kUnits, rest.substr(0, letters), &Unit::name);
    if (!number || unit == kUnits.end()) return std::nullopt;
    total += *number * unit->milliseconds;
    if (*number > kLongest / unit->milliseconds || total > kLongest) return std::nullopt;
    text = rest.substr(letters);
  }
  return Duration(total);
}

void read(const Reader& reader, Duration& out) {
  const auto parsed = reader.value().is_string()
                          ? parse_duration(reader.value().get_ref<const std::string&>())
                          : std::nullopt;
  if (!parsed || parsed->count() == 0) {
    return reader.expected("a duration such as \"300ms\", \"30s\" or \"5m\"");
  }
  out = *parsed;
}

void read(const Reader& reader, Interval& out) {
  Prefix prefix;
  const std::size_t before = reader.problems().size();
  read(reader, prefix);
  if (reader.problems().size() == before) out = interval_of(prefix);
}

void read(const Reader& reader, Prefix& out) {
  const auto parsed = reader.value().is_string()
                          ? Prefix::parse(reader.value().get_ref<const std::string&>())
                          : std::nullopt;
  if (!parsed) return reader.expected("an address with a length such as \"172.18.0.1/30\"");
  out = *parsed;
}

std::optional<Mark> parse_mark(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(text.c_str(), &end, 0);
  const bool valid = !text.empty() && text[0] >= '0' && text[0] <= '9' && *end == '\0' &&
                     errno == 0 && number <= UINT32_MAX;
  if (!valid) return std::nullopt;
  return Mark{static_cast<std::uint32_t>(number)};
}

void read(const Reader& reader, Mark& out) {
  const Json& value = reader.value();
  if (is_natural(value) && value.get<std::uint64_t>() <= UINT32_MAX) {
    out = Mark{value.get<std::uint32_t>()};
    return;
  }
  const auto* text = value.get_ptr<const std::string*>();
  const auto mark = text == nullptr ? std::nullopt : parse_mark(*text);
  if (mark) {
    out = *mark;
    return;
  }
  reader.expected("a mark: a number below 2^32, or a text such as \"0x2024\"");
}

void read(const Reader& reader, Network& out) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  if (text != nullptr && *text == "tcp") {
    out = Network::tcp;
  } else if (text != nullptr && *text == "udp") {
    out = Network::udp;
  } else {
    reader.expected("\"tcp\" or \"udp\"");
  }
}

void read_number(const Reader& reader, std::uint64_t min, std::uint64_t max, std::uint64_t& out) {
  const Json& value = reader.value();
  if (!is_natural(value) || value.get<std::uint64_t>() < min || value.get<std::uint64_t>() > max) {
    return reader.expected("a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  out = value.get<std::uint64_t>();
}

void read_port(const Reader& reader, std::uint16_t& out) {
  std::uint64_t number = out;
  read_number(reader, 1, 65535, number);
  out = static_cast<std::uint16_t>(number);
}

void read_port_range(const Reader& reader, PortRange& out) {
  constexpr std::string_view kExpected =
      "a range of ports such as \"1000:2000\", \":3000\" or \"4000:\"";
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto range = text == nullptr ? std::nullopt : rule::parse_port_range(*text);
  if (!range) return reader.expected(kExpected);
  out = *range;
}

std::string read_type(const Reader& object, std::span<const std::string_view> known) {
  if (!object.is_object()) return "";
  std::string choices;
  for (const std::string_view name : known) {
    choices += (choices.empty() ? "\"" : ", \"") + std::string(name) + "\"";
  }
  if (!object.value().contains("type")) {
    object.complain("\"type\" is missing: " + choices);
    return "";
  }
  const Reader type = object.member("type");
  std::string text;
  read(type, text);
  if (std::ranges::find(known, text) != known.end()) return text;
  const std::string guess = nearest(text, known);
  if (type.value().is_string()) {
    type.complain("unknown type \"" + text + "\"; " +
                  (guess.empty() ? "known: " + choices : "did you mean \"" + guess + "\"?"));
  }
  return "";
}

}  // namespace hairpin::config
