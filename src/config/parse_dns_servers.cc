// The servers of `dns`, by type.
#include <array>

#include "config/kinds.h"
#include "config/parse_dns.h"
#include "config/parse_tls.h"

namespace hairpin::config {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kServerTypes =
    "\"udp\", \"tcp\", \"tls\", \"https\", \"local\", \"hosts\" or \"fakeip\"";
constexpr std::uint16_t kPort = 53;
constexpr std::uint16_t kTlsPort = 853;
constexpr std::uint16_t kHttpsPort = 443;
/// As sing-box.
constexpr std::string_view kFakeIp4 = "198.18.0.0/15";
constexpr std::string_view kFakeIp6 = "fc00::/18";

constexpr std::array<Field<DnsServer>, 2> kCommonFields{{
    {"type", kServerTypes, ignore_type<DnsServer>},
    {"tag", kText, into<&DnsServer::tag>},
}};

void read_mark(const Reader& reader, DnsServer& out) {
  Mark mark;
  const std::size_t before = reader.problems().size();
  read(reader, mark);
  if (reader.problems().size() == before) out.dial.routing_mark = mark;
}

constexpr std::array<Field<DnsServer>, 5> kDnsDialFields{{
    {"detour", kOutboundTag, into<&DnsServer::detour>},
    {"bind_interface", "the name of an interface",
     [](const Reader& reader, DnsServer& out) { read(reader, out.dial.bind_interface); }},
    {"routing_mark", kMark, read_mark},
    {"connect_timeout", kDuration,
     [](const Reader& reader, DnsServer& out) { read(reader, out.dial.connect_timeout); }},
    {"domain_resolver", kResolver,
     [](const Reader& reader, DnsServer& out) { read(reader, out.dial.domain_resolver); }},
}};

constexpr std::array<Field<Server>, 2> kRemoteFields{{
    {"server", "an address or a host name", into<&Server::host>},
    {"server_port", "a port",
     [](const Reader& reader, Server& out) { read_port(reader, out.port); }},
}};

void read_predefined_hosts(const Reader& reader, DnsHosts& out) {
  if (!reader.is_object()) return;
  for (const auto& [name, value] : reader.value().items()) {
    auto& addresses =
        out.predefined[rule::lower(name.ends_with('.') ? name.substr(0, name.size() - 1) : name)];
    for (const Reader element : reader.member(name).list()) {
      const auto* text = element.value().get_ptr<const std::string*>();
      const auto address = text == nullptr ? std::nullopt : IpAddr::parse(*text);
      if (address) {
        addresses.push_back(*address);
      } else {
        element.expected("an address");
      }
    }
  }
}

constexpr std::array<Field<DnsHosts>, 2> kHostsFields{{
    {"path", "the path of a file, or a list of them", into<&DnsHosts::paths>},
    {"predefined", "an object of addresses by name", read_predefined_hosts},
}};

template <std::optional<Prefix> DnsFakeIp::* Member, Family Of>
void read_range(const Reader& reader, DnsFakeIp& out) {
  Prefix prefix;
  const std::size_t before = reader.problems().size();
  read(reader, prefix);
  if (reader.problems().size() != before) return;
  const unsigned bits = Of == Family::v4 ? 32 : 128;
  if (prefix.address.family() != Of) {
    reader.complain(Of == Family::v4 ? "is not of IPv4" : "is not of IPv6");
  } else if (prefix.length + 4 > bits) {
    reader.complain("has too few addresses: at least 16 are needed");
  } else {
    out.*Member = prefix;
  }
}

constexpr std::array<Field<DnsFakeIp>, 2> kFakeIpFields{{
    {"inet4_range", "a range of IPv4", read_range<&DnsFakeIp::inet4_range, Family::v4>},
    {"inet6_range", "a range of IPv6", read_range<&DnsFakeIp::inet6_range, Family::v6>},
}};

constexpr std::array<Field<DnsTls>, 1> kDnsTlsFields{{
    {"tls", "an object", [](const Reader& reader, DnsTls& out) { read(reader, out.tls); }},
}};

void read_headers(const Reader& reader, DnsHttps& out) {
  if (!reader.is_object()) return;
  // What says how long the question is, and what HTTP/2 has no use for (RFC 9113, 8.2.2).
  constexpr std::array<std::string_view, 5> kOurs{"connection", "content-length", "keep-alive",
                                                  "transfer-encoding", "upgrade"};
  for (const auto& [name, value] : reader.value().items()) {
    const std::string lower = rule::lower(name);
    if (std::ranges::find(kOurs, lower) != kOurs.end()) {
      reader.member(name).complain("cannot be chosen");
    } else {
      read(reader.member(name), out.headers[lower]);
    }
  }
}

constexpr std::array<Field<DnsHttps>, 3> kHttpsFields{{
    {"tls", "an object", [](const Reader& reader, DnsHttps& out) { read(reader, out.tls); }},
    {"path", "the path of a resource", into<&DnsHttps::path>},
    {"headers", "an object of texts by name", read_headers},
}};

template <class Kind>
void read_remote(const Reader& reader, std::span<const Field<Kind>> fields, std::uint16_t port,
                 DnsServer& out) {
  Kind kind;
  kind.server.port = port;
  const std::size_t before = reader.problems().size();
  read_parts(reader, Part<DnsServer>{kCommonFields, out}, Part<DnsServer>{kDnsDialFields, out},
             Part<Server>{kRemoteFields, kind.server}, Part<Kind>{fields, kind});
  if constexpr (requires { kind.tls; }) {
    kind.tls.enabled = true;
    load_certificates(kind.tls, reader.path() + ".tls", reader.problems());
  }
  if (kind.server.host.empty() && reader.problems().size() == before) {
    reader.complain("\"server\" is missing");
  }
  out.kind = std::move(kind);
}

template <class Kind>
void read_other(const Reader& reader, std::span<const Field<Kind>> fields, DnsServer& out) {
  Kind kind;
  read_parts(reader, Part<DnsServer>{kCommonFields, out}, Part<Kind>{fields, kind});
  out.kind = std::move(kind);
}

void settle(DnsServer& out) {
  if (auto* hosts = std::get_if<DnsHosts>(&out.kind)) {
    if (hosts->paths.empty() && hosts->predefined.empty()) hosts->paths = {"/etc/hosts"};
  }
  auto* fake = std::get_if<DnsFakeIp>(&out.kind);
  if (fake != nullptr && !fake->inet4_range && !fake->inet6_range) {
    fake->inet4_range = Prefix::parse(kFakeIp4);
    fake->inet6_range = Prefix::parse(kFakeIp6);
  }
}

}  // namespace

void read(const Reader& reader, DnsServer& out) {
  if (!reader.is_object()) return;
  const auto& json = reader.value();
  if (!json.contains("type"))
    return reader.complain("\"type\" is missing: " + std::string(kServerTypes));
  const Json& type = json["type"];
  if (type == "udp") {
    read_remote<DnsUdp>(reader, {}, kPort, out);
  } else if (type == "tcp") {
    read_remote<DnsTcp>(reader, {}, kPort, out);
  } else if (type == "tls") {
    read_remote<DnsTls>(reader, kDnsTlsFields, kTlsPort, out);
  } else if (type == "https") {
    read_remote<DnsHttps>(reader, kHttpsFields, kHttpsPort, out);
  } else if (type == "local") {
    DnsLocal local;
    read_parts(reader, Part<DnsServer>{kCommonFields, out}, Part<DnsServer>{kDnsDialFields, out});
    out.kind = local;
  } else if (type == "hosts") {
    read_other<DnsHosts>(reader, kHostsFields, out);
  } else if (type == "fakeip") {
    read_other<DnsFakeIp>(reader, kFakeIpFields, out);
  } else {
    reader.member("type").expected(kServerTypes);
  }
  settle(out);
}

void list_dns_server_fields(std::vector<FieldInfo>& all) {
  list_fields<DnsServer>(all, "dns.servers", kCommonFields);
  list_fields<DnsServer>(all, "dns.servers", kDnsDialFields);
  list_fields<Server>(all, "dns.servers, udp, tcp, tls and https", kRemoteFields);
  list_fields<DnsTls>(all, "dns.servers, tls", kDnsTlsFields);
  list_fields<DnsHttps>(all, "dns.servers, https", kHttpsFields);
  list_fields<DnsHosts>(all, "dns.servers, hosts", kHostsFields);
  list_fields<DnsFakeIp>(all, "dns.servers, fakeip", kFakeIpFields);
}

}  // namespace hairpin::config
