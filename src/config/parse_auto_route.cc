#include "config/parse_auto_route.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>

#include "config/kinds.h"
#include "config/syn_marks.h"

namespace hairpin::config {

namespace {

constexpr std::string_view kAndroidUsersText = "the number of an Android user, or a list of them";
constexpr std::string_view kPackages = "the name of an Android package, or a list of them";
constexpr std::uint64_t kLastAndroidUser = 999;
constexpr std::string_view kUsers = "the number of a user, or a list of them";
constexpr std::string_view kUserRanges = "a range such as \"1000:2000\", or a list of them";
constexpr std::string_view kInterfaces = "the name of an interface, or a list of them";
constexpr std::string_view kMacs = "an address such as \"02:00:5e:00:53:01\", or a list of them";
constexpr std::string_view kGroups =
    "a control group such as \"user.slice/games.scope\", or a list of them";
constexpr std::string_view kTags = "the tag of a rule-set, or a list of them";
constexpr std::uint32_t kLastUid = 0xfffffffe;  // 0xffffffff is no user

/// Reads the field into a member of AutoRoute, by the type of that member.
template <auto Member>
constexpr auto into_route =
    [](const Reader& reader, TunInbound& tun) { read(reader, tun.auto_route.*Member); };

void read_table(const Reader& reader, TunInbound& tun) {
  std::uint64_t table = 0;
  // 0 is none, 253 to 255 are the kernel's.
  read_number(reader, 1, 0xffffffff, table);
  if (table >= 253 && table <= 255) return reader.complain("is a table of the system");
  if (table != 0) tun.auto_route.table = TableId{static_cast<std::uint32_t>(table)};
}

void read_first_rule(const Reader& reader, TunInbound& tun) {
  std::uint64_t priority = tun.auto_route.first_rule.value();
  read_number(reader, 100, 32000, priority);  // behind the links' own, before the system's
  tun.auto_route.first_rule = RulePriority{static_cast<std::uint32_t>(priority)};
}

void read_users(const Reader& reader, std::vector<UidRange>& out) {
  for (const Reader element : reader.list()) {
    std::uint64_t user = 0;
    const std::size_t before = reader.problems().size();
    read_number(element, 0, kLastUid, user);
    const auto number = static_cast<std::uint32_t>(user);
    if (reader.problems().size() == before) out.push_back({number, number});
  }
}

std::optional<UidRange> parse_uid_range(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits, std::uint64_t otherwise) {
    return digits.empty() ? std::optional(otherwise) : parse_number(digits, kLastUid);
  };
  const auto first = number(text.substr(0, colon), 0);
  const auto last = number(text.substr(colon + 1), kLastUid);
  if (!first || !last || *first > *last) return std::nullopt;
  return UidRange{static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*last)};
}

/// Reads a list of texts, each through `parse`.
template <class T, class Parse>
void read_parsed(const Reader& reader, std::vector<T>& out, std::string_view expected,
                 Parse parse) {
  for (const Reader element : reader.list()) {
    const auto* text = element.value().get_ptr<const std::string*>();
    auto value = text == nullptr ? std::nullopt : parse(*text);
    if (value) {
      out.push_back(std::move(*value));
    } else {
      element.expected(expected);
    }
  }
}

void read_user_ranges(const Reader& reader, std::vector<UidRange>& out) {
  read_parsed(reader, out, "a range of users such as \"1000:2000\"", parse_uid_range);
}

void read_macs(const Reader& reader, std::vector<MacAddress>& out) {
  read_parsed(reader, out, "an address such as \"02:00:5e:00:53:01\"", parse_mac);
}

/// Without a slash at either end.
std::optional<std::string> parse_group(const std::string& text) {
  const std::size_t first = text.find_first_not_of('/');
  if (first == std::string::npos) return std::nullopt;  // the root has every process in it
  const std::string path = text.substr(first, text.find_last_not_of('/') - first + 1);
  const std::string framed = "/" + path + "/";
  for (const char* wrong : {"/../", "/./", "//", "\"", "\n"}) {
    if (framed.find(wrong) != std::string::npos) return std::nullopt;
  }
  return path;
}

void read_groups(const Reader& reader, std::vector<std::string>& out) {
  read_parsed(reader, out, "the path of a control group below the root", parse_group);
}

void read_mask(const Reader& reader, TunInbound& tun) {
  Mark mask{tun.auto_route.marks.mask};
  read(reader, mask);
  if (!mask) return reader.expected("the bits that marks may use, such as \"0xffff\"");
  tun.auto_route.marks.mask = mask.value();
}

void read_on_stop(const Reader& reader, TunInbound& tun) {
  if (reader.value() == "open") {
    tun.auto_route.on_stop = OnStop::open;
  } else if (reader.value() == "closed") {
    tun.auto_route.on_stop = OnStop::closed;
  } else {
    reader.expected("\"open\" or \"closed\"");
  }
}

void read_queue(const Reader& reader, TunInbound& tun) {
  constexpr std::uint64_t kNone = 0x10000;
  std::uint64_t queue = kNone;
  read_number(reader, 0, 0xffff, queue);
  if (queue != kNone) tun.auto_route.queue = static_cast<std::uint16_t>(queue);
}

constexpr std::array<Field<TunInbound>, 29> kFields{{
    {"auto_route", kBool, into_route<&AutoRoute::enabled>},
    {"strict_route", kBool, into_route<&AutoRoute::strict>},
    {"auto_redirect", kBool, into_route<&AutoRoute::redirect>},
    {"auto_redirect_input_mark", kMark,
     [](const Reader& reader, TunInbound& tun) { read(reader, tun.auto_route.marks.input); }},
    {"auto_redirect_output_mark", kMark,
     [](const Reader& reader, TunInbound& tun) {
       Mark mark;
       read(reader, mark);
       tun.auto_route.marks.output = mark;
     }},
    {"auto_redirect_reset_mark", kMark,
     [](const Reader& reader, TunInbound& tun) {
       Mark mark;
       read(reader, mark);
       tun.auto_route.marks.reset = mark;
     }},
    {"auto_redirect_nfqueue", "a number from 0 to 65535", read_queue},
    {"auto_redirect_mark_mask", "the bits that marks may use", read_mask},
    {"gateway", kBool, into_route<&AutoRoute::gateway>},
    {"on_stop", "\"open\" or \"closed\"", read_on_stop},
    {"iproute2_table_index", "the number of a routing table", read_table},
    {"iproute2_rule_index", "a number from 100 to 32000", read_first_rule},
    {"route_address", kPrefixes, into_route<&AutoRoute::route_address>},
    {"route_exclude_address", kPrefixes, into_route<&AutoRoute::route_exclude_address>},
    {"route_address_set", kTags, into_route<&AutoRoute::route_address_set>},
    {"route_exclude_address_set", kTags, into_route<&AutoRoute::route_exclude_address_set>},
    {"include_interface", kInterfaces, into_route<&AutoRoute::include_interface>},
    {"exclude_interface", kInterfaces, into_route<&AutoRoute::exclude_interface>},
    {"include_uid", kUsers,
     [](const Reader& reader, TunInbound& tun) { read_users(reader, tun.auto_route.include_uid); }},
    {"include_uid_range", kUserRanges,
     [](const Reader& reader, TunInbound& tun) {
       read_user_ranges(reader, tun.auto_route.include_uid);
     }},
    {"exclude_uid", kUsers,
     [](const Reader& reader, TunInbound& tun) { read_users(reader, tun.auto_route.exclude_uid); }},
    {"exclude_uid_range", kUserRanges,
     [](const Reader& reader, TunInbound& tun) {
       read_user_ranges(reader, tun.auto_route.exclude_uid);
     }},
    {"include_android_user", kAndroidUsersText,
     [](const Reader& reader, TunInbound& tun) {
       for (const Reader element : reader.list()) {
         std::uint64_t user = 0;
         const std::size_t before = reader.problems().size();
         read_number(element, 0, kLastAndroidUser, user);
         if (reader.problems().size() != before) continue;
         tun.auto_route.include_android_user.push_back(static_cast<std::uint32_t>(user));
       }
     }},
    {"include_package", kPackages, into_route<&AutoRoute::include_package>},
    {"exclude_package", kPackages, into_route<&AutoRoute::exclude_package>},
    {"include_mac_address", kMacs,
     [](const Reader& reader, TunInbound& tun) { read_macs(reader, tun.auto_route.include_mac); }},
    {"exclude_mac_address", kMacs,
     [](const Reader& reader, TunInbound& tun) { read_macs(reader, tun.auto_route.exclude_mac); }},
    {"include_cgroup", kGroups,
     [](const Reader& reader, TunInbound& tun) {
       read_groups(reader, tun.auto_route.include_cgroup);
     }},
    {"exclude_cgroup", kGroups,
     [](const Reader& reader, TunInbound& tun) {
       read_groups(reader, tun.auto_route.exclude_cgroup);
     }},
}};

/// Both say what is left out: what is in neither would be undecided.
void refuse_both(const Reader& reader, const char* include, const char* exclude) {
  if (!reader.value().contains(include) || !reader.value().contains(exclude)) return;
  reader.member(exclude).complain(std::string("cannot be had together with ") + include);
}

}  // namespace

std::vector<Field<TunInbound>> auto_route_fields() {
  return {kFields.begin(), kFields.end()};
}

void check_auto_route(const Reader& reader, const AutoRoute& wanted) {
  if (!reader.value().is_object()) return;
  for (const Field<TunInbound>& field : kFields) {
    const std::string name(field.name);
    if (wanted.enabled || name == "auto_route" || !reader.value().contains(name)) continue;
    reader.member(name).complain("needs \"auto_route\": true");
  }
  refuse_both(reader, "include_interface", "exclude_interface");
  refuse_both(reader, "include_mac_address", "exclude_mac_address");
  refuse_both(reader, "include_cgroup", "exclude_cgroup");
}

void settle_marks(const Reader& root, Config& config) {
  const auto& json = root.value();
  const bool given = json.contains("route") && json["route"].contains("default_mark");
  for (std::size_t n = 0; n < config.inbounds.size(); ++n) {
    const auto& output = config.inbounds[n].auto_route.marks.output;
    if (!output) continue;
    if ((given || n > 0) && *output != config.route.default_mark) {
      root.problems().push_back({"inbounds[" + std::to_string(n) + "].auto_redirect_output_mark",
                                 "is another name of route.default_mark, which has another value"});
    }
    config.route.default_mark = *output;
  }
}

namespace {

/// Tables and priorities of two inbounds must not be mixed up.
void check_numbers(Problems& problems, const Config& config) {
  constexpr std::uint32_t kApart = 20;  // more than the rules that one has
  for (std::size_t n = 0; n < config.inbounds.size(); ++n) {
    for (std::size_t m = 0; m < n; ++m) {
      const AutoRoute& a = config.inbounds[m].auto_route;
      const AutoRoute& b = config.inbounds[n].auto_route;
      if (!a.enabled || !b.enabled) continue;
      const std::string where = "inbounds[" + std::to_string(n) + "].";
      const std::string other = "inbounds[" + std::to_string(m) + "]";
      if (a.table == b.table) {
        problems.push_back({where + "iproute2_table_index", "is that of " + other});
      }
      const std::uint32_t mine = b.first_rule.value();
      const std::uint32_t theirs = a.first_rule.value();
      if (std::max(mine, theirs) - std::min(mine, theirs) < kApart) {
        problems.push_back({where + "iproute2_rule_index", "must be " + std::to_string(kApart) +
                                                               " or more from that of " + other});
      }
    }
  }
}

/// SYNs get their answers by marks.
/// Marks beside the input mark: what tells the kernel how a SYN is answered, and what is bypassed.
void check_answers(Problems& problems, const std::string& inbound, const TunInbound& tun,
                   bool bypasses) {
  const AutoRoute& wanted = tun.auto_route;
  const bool queues = wanted.redirect && tun.tcp_handshake == Handshake::faithful;
  const Marks& marks = wanted.marks;
  if ((queues || bypasses) && std::popcount(marks.mask) < kSynMarkBits) {
    problems.push_back({inbound + "auto_redirect_mark_mask",
                        "needs " + std::to_string(kSynMarkBits) + " bits " +
                            (bypasses ? "for rules that bypass" : "with auto_redirect")});
  }
  if (!queues || !marks.reset) return;
  const Mark reset = *marks.reset;
  if ((reset.value() & marks.mask) != reset.value() || !reset || reset == marks.input) {
    problems.push_back({inbound + "auto_redirect_reset_mark",
                        "must be in the bits of auto_redirect_mark_mask, not 0, and not "
                        "auto_redirect_input_mark"});
  }
}

/// The outbound of rules that bypass and name none has no mark but the default one.
void check_bypasses(Problems& problems, const Config& config) {
  for (std::size_t i = 0; i < config.route.rules.size(); ++i) {
    const RouteRule& rule = config.route.rules[i];
    if (rule.action != Action::bypass || !rule.outbound.empty()) continue;
    problems.push_back({"route.rules[" + std::to_string(i) + "]",
                        "bypasses without an \"outbound\", and route.default_mark is 0: with "
                        "auto_route the connections that it makes would be captured"});
  }
}

}  // namespace

void check_kept_out(Problems& problems, const Config& config) {
  check_numbers(problems, config);
  const bool bypasses = std::ranges::any_of(
      config.route.rules, [](const RouteRule& rule) { return rule.action == Action::bypass; });
  const bool captures = std::ranges::any_of(
      config.inbounds, [](const TunInbound& tun) { return tun.auto_route.enabled; });
  if (captures && !config.route.default_mark) check_bypasses(problems, config);
  for (std::size_t n = 0; n < config.inbounds.size(); ++n) {
    const AutoRoute& wanted = config.inbounds[n].auto_route;
    if (!wanted.enabled) continue;
    const Mark input = wanted.marks.input;
    const std::uint32_t mask = wanted.marks.mask;
    const std::string inbound = "inbounds[" + std::to_string(n) + "].";
    if ((input.value() & mask) != input.value() || !input) {
      problems.push_back({inbound + "auto_redirect_input_mark",
                          "must be in the bits of auto_redirect_mark_mask, and not 0"});
    }
    check_answers(problems, inbound, config.inbounds[n], bypasses);
    for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
      const Outbound& outbound = config.outbounds[i];
      // Whoever opens no sockets needs no mark.
      const bool group = std::holds_alternative<Group>(outbound.kind);
      if (group || std::holds_alternative<Block>(outbound.kind)) continue;
      const Mark mark = outbound.dial.routing_mark.value_or(config.route.default_mark);
      const std::string where = "outbounds[" + std::to_string(i) + "]";
      if (!mark) {
        problems.push_back({where,
                            "needs a routing_mark: with auto_route its own connections would be "
                            "captured"});
      } else if ((mark.value() & mask) == input.value()) {
        problems.push_back({where, "has the mark of what is to be captured (" + inbound +
                                       "auto_redirect_input_mark): it would capture itself"});
      }
    }
  }
}

}  // namespace hairpin::config
