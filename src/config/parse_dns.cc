// The object `dns`, but for its servers and rules, which have files of their own; and what others
// say about names.
#include "config/parse_dns.h"

#include <algorithm>
#include <array>

#include "config/kinds.h"

namespace hairpin::config {

namespace {

void read_strategy(const Reader& reader, Dns& out) {
  std::optional<Strategy> strategy;
  read(reader, strategy);
  out.strategy = strategy.value_or(Strategy::as_is);
}

constexpr std::array<Field<Dns>, 9> kDnsFields{{
    {"servers", "a list of servers", into<&Dns::servers>},
    {"rules", "a list of rules",
     [](const Reader& reader, Dns& out) {
       // Wrong ones keep their place: what is said of those behind names the right number.
       for (const Reader element : reader.list()) read(element, out.rules.emplace_back());
     }},
    {"final", kDnsServerTag, into<&Dns::final>},
    {"strategy", kStrategies, read_strategy},
    {"disable_cache", kBool, into<&Dns::disable_cache>},
    {"disable_expire", kBool, into<&Dns::disable_expire>},
    {"cache_capacity", "a number from 1024 to 1000000",
     [](const Reader& reader, Dns& out) {
       std::uint64_t count = out.cache_capacity;
       read_number(reader, 1024, 1'000'000, count);
       out.cache_capacity = static_cast<std::size_t>(count);
     }},
    {"reverse_mapping", kBool, into<&Dns::reverse_mapping>},
    {"client_subnet", kSubnet,
     [](const Reader& reader, Dns& out) { read_subnet(reader, out.client_subnet); }},
}};

constexpr std::array<Field<CacheFile>, 3> kCacheFileFields{{
    {"enabled", kBool, into<&CacheFile::enabled>},
    {"path", "the path of a file", into<&CacheFile::path>},
    {"store_fakeip", kBool, into<&CacheFile::store_fakeip>},
}};

constexpr std::array<Field<CacheFile>, 1> kExperimentalFields{{
    {"cache_file", "an object",
     [](const Reader& reader, CacheFile& out) {
       const std::size_t before = reader.problems().size();
       read_object<CacheFile>(reader, kCacheFileFields, out);
       if (reader.problems().size() != before) return;
       if (out.store_fakeip && !out.enabled)
         reader.complain("\"store_fakeip\" needs \"enabled\": true");
       if (out.path.empty()) reader.member("path").expected("the path of a file");
     }},
}};

constexpr std::array<Field<DomainResolver>, 3> kResolverFields{{
    {"server", kDnsServerTag, into<&DomainResolver::server>},
    {"strategy", kStrategies, into<&DomainResolver::strategy>},
    {"client_subnet", kSubnet,
     [](const Reader& reader, DomainResolver& out) { read_subnet(reader, out.client_subnet); }},
}};

}  // namespace

void read(const Reader& reader, std::optional<Strategy>& out) {
  constexpr std::array<std::string_view, 4> kNames{"prefer_ipv4", "prefer_ipv6", "ipv4_only",
                                                   "ipv6_only"};
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto* const known =
      text == nullptr ? kNames.end() : std::ranges::find(kNames, std::string_view(*text));
  if (known == kNames.end()) return reader.expected(kStrategies);
  out = static_cast<Strategy>(1 + (known - kNames.begin()));
}

void read_subnet(const Reader& reader, std::optional<Prefix>& out) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto prefix = text == nullptr ? std::nullopt : Prefix::parse(*text);
  if (!prefix) return reader.expected("a network such as \"198.51.100.0/24\"");
  out = *prefix;
}

void read(const Reader& reader, DomainResolver& out) {
  if (reader.value().is_string()) return read(reader, out.server);
  if (!reader.value().is_object()) return reader.expected(kResolver);
  const std::size_t before = reader.problems().size();
  read_object<DomainResolver>(reader, kResolverFields, out);
  if (out.server.empty() && reader.problems().size() == before)
    reader.complain("\"server\" is missing");
}

void read(const Reader& reader, Dns& out) {
  read_object<Dns>(reader, kDnsFields, out);
}

void read(const Reader& reader, CacheFile& out) {
  read_object<CacheFile>(reader, kExperimentalFields, out);
}

void list_dns_fields(std::vector<FieldInfo>& all) {
  list_fields<Dns>(all, "dns", kDnsFields);
  list_dns_server_fields(all);
  list_dns_rule_fields(all);
  list_fields<DomainResolver>(all, "domain_resolver", kResolverFields);
  list_fields<CacheFile>(all, "experimental", kExperimentalFields);
  list_fields<CacheFile>(all, "experimental.cache_file", kCacheFileFields);
}

}  // namespace hairpin::config
