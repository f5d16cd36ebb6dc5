// The object `dns`, and what other objects say of it.
#pragma once

#include <set>
#include <vector>

#include "config/reader.h"

namespace hairpin::config {

inline constexpr std::string_view kStrategies =
    "\"prefer_ipv4\", \"prefer_ipv6\", \"ipv4_only\" or \"ipv6_only\"";
inline constexpr std::string_view kResolver =
    "the tag of a DNS server, or an object with \"server\" and \"strategy\"";

void read(const Reader& reader, Dns& out);
void read(const Reader& reader, DnsServer& out);
void read(const Reader& reader, DnsRule& out);
void read(const Reader& reader, CacheFile& out);  ///< "experimental"
void read(const Reader& reader, std::optional<Strategy>& out);
void read_subnet(const Reader& reader, std::optional<Prefix>& out);  ///< "client_subnet"
void read(const Reader& reader, DomainResolver& out);

/// What concerns DNS and the rest together (check_dns.cc). `outbounds`: their tags.
void check_dns(Problems& problems, const Config& config, const std::set<std::string>& outbounds);

void list_dns_fields(std::vector<FieldInfo>& all);
void list_dns_server_fields(std::vector<FieldInfo>& all);  ///< Of those, the servers'.
void list_dns_rule_fields(std::vector<FieldInfo>& all);    ///< Of those, the rules'.

}  // namespace hairpin::config
