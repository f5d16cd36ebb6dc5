#include "config/parse_outbounds.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "config/kinds.h"
#include "config/parse_dns.h"
#include "config/parse_tls.h"
#include "config/url.h"

namespace hairpin::config {

namespace {

/// The members that all outbounds share, and the part that is each one's own.
template <class Kind>
struct Typed {
  std::string tag;
  Dial dial;
  Kind kind;
};

/// Reads the field into a member, by the type of that member.
template <class Kind, auto Member>
constexpr auto into_dial =
    [](const Reader& reader, Typed<Kind>& out) { read(reader, out.dial.*Member); };
template <class Kind, auto Member>
constexpr auto into_kind =
    [](const Reader& reader, Typed<Kind>& out) { read(reader, out.kind.*Member); };

// ---- what kinds have in common ------------------------------------------------------------------

template <class Kind>
inline constexpr std::array<Field<Typed<Kind>>, 2> kNameFields{{
    {"type", "the kind of outbound", ignore_type<Typed<Kind>>},
    {"tag", kText, [](const Reader& reader, Typed<Kind>& out) { read(reader, out.tag); }},
}};

template <class Kind>
void read_routing_mark(const Reader& reader, Typed<Kind>& out) {
  Mark mark;
  const std::size_t before = reader.problems().size();
  read(reader, mark);
  if (reader.problems().size() == before) out.dial.routing_mark = mark;
}

template <class Kind, auto Member, Family family>
void read_source(const Reader& reader, Typed<Kind>& out) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  const auto address = text == nullptr ? std::nullopt : IpAddr::parse(*text);
  if (!address || address->family() != family) {
    return reader.expected(family == Family::v4 ? "an IPv4 address" : "an IPv6 address");
  }
  out.dial.*Member = *address;
}

template <class Kind>
inline constexpr std::array<Field<Typed<Kind>>, 8> kDialFields{{
    {"bind_interface", "the name of an interface", into_dial<Kind, &Dial::bind_interface>},
    {"routing_mark", kMark, read_routing_mark<Kind>},
    {"connect_timeout", kDuration, into_dial<Kind, &Dial::connect_timeout>},
    {"domain_resolver", kResolver, into_dial<Kind, &Dial::domain_resolver>},
    {"inet4_bind_address", "an IPv4 address",
     read_source<Kind, &Dial::inet4_bind_address, Family::v4>},
    {"inet6_bind_address", "an IPv6 address",
     read_source<Kind, &Dial::inet6_bind_address, Family::v6>},
    {"reuse_addr", kBool, into_dial<Kind, &Dial::reuse_addr>},
    {"fallback_delay", kDuration, into_dial<Kind, &Dial::fallback_delay>},
}};

template <class Kind>
inline constexpr std::array<Field<Typed<Kind>>, 6> kServerFields{{
    {"tcp_fast_open", kBool, into_dial<Kind, &Dial::tcp_fast_open>},
    {"detour", "the tag of an outbound", into_dial<Kind, &Dial::detour>},
    {"server", "an address or a host name",
     [](const Reader& reader, Typed<Kind>& out) { read(reader, out.kind.server.host); }},
    {"server_port", "a port",
     [](const Reader& reader, Typed<Kind>& out) { read_port(reader, out.kind.server.port); }},
    {"username", kText, into_kind<Kind, &Kind::username>},
    {"password", kText, into_kind<Kind, &Kind::password>},
}};

// ---- what one kind has --------------------------------------------------------------------------

void read_socks_version(const Reader& reader, Typed<Socks>&) {
  if (reader.value() != "5" && reader.value() != 5) {
    reader.expected("\"5\" (versions 4 and 4a are not supported)");
  }
}

void read_socks_network(const Reader& reader, Typed<Socks>& out) {
  std::vector<Network> networks;
  read(reader, networks);
  out.kind.tcp = std::ranges::find(networks, Network::tcp) != networks.end();
  out.kind.udp = std::ranges::find(networks, Network::udp) != networks.end();
}

constexpr std::array<Field<Typed<Socks>>, 3> kSocksFields{{
    {"version", "\"5\"", read_socks_version},
    {"network", "\"tcp\", \"udp\" or a list of both", read_socks_network},
    {"pipeline", kBool, into_kind<Socks, &Socks::pipeline>},
}};

constexpr std::array<Field<Typed<Http>>, 1> kHttpFields{{
    {"tls", "an object", into_kind<Http, &Http::tls>},
}};

// ---- groups -------------------------------------------------------------------------------------

using GroupField = Field<Typed<Group>>;

void read_url(const Reader& reader, Typed<Group>& out) {
  const auto* text = reader.value().get_ptr<const std::string*>();
  auto url = text == nullptr ? std::nullopt : parse_url(*text);
  if (!url) return reader.expected("a URL such as \"https://www.gstatic.com/generate_204\"");
  out.kind.url = std::move(*url);
}

/// sing-box has a number of milliseconds.
void read_tolerance(const Reader& reader, Typed<Group>& out) {
  std::uint64_t number = 0;
  const std::size_t before = reader.problems().size();
  read_number(reader, 0, 65535, number);
  if (reader.problems().size() == before) out.kind.tolerance = Duration(number);
}

constexpr std::array<GroupField, 1> kMemberFields{{
    {"outbounds", "tags of outbounds", into_kind<Group, &Group::outbounds>},
}};
constexpr std::array<GroupField, 1> kInterruptFields{{
    {"interrupt_exist_connections", kBool, into_kind<Group, &Group::interrupt_exist_connections>},
}};
constexpr std::array<GroupField, 1> kSelectorFields{{
    {"default", "the tag of one of them", into_kind<Group, &Group::default_outbound>},
}};
constexpr std::array<GroupField, 4> kUrlTestFields{{
    {"url", "a URL", read_url},
    {"interval", kDuration, into_kind<Group, &Group::interval>},
    {"tolerance", "milliseconds", read_tolerance},
    {"idle_timeout", kDuration, into_kind<Group, &Group::idle_timeout>},
}};
constexpr std::array<GroupField, 1> kFailoverFields{{
    {"retry_after", kDuration, into_kind<Group, &Group::retry_after>},
}};

template <class T, std::size_t... Sizes>
std::vector<Field<T>> join(const std::array<Field<T>, Sizes>&... tables) {
  std::vector<Field<T>> all;
  (all.insert(all.end(), tables.begin(), tables.end()), ...);
  return all;
}

std::vector<Field<Typed<Direct>>> fields_of(const Direct&) {
  return join(kNameFields<Direct>, kDialFields<Direct>);
}
std::vector<Field<Typed<Block>>> fields_of(const Block&) {
  return join(kNameFields<Block>);
}
std::vector<Field<Typed<Socks>>> fields_of(const Socks&) {
  return join(kNameFields<Socks>, kDialFields<Socks>, kServerFields<Socks>, kSocksFields);
}
std::vector<Field<Typed<Http>>> fields_of(const Http&) {
  return join(kNameFields<Http>, kDialFields<Http>, kServerFields<Http>, kHttpFields);
}

std::vector<GroupField> fields_of(Group::How how) {
  switch (how) {
    case Group::How::selector:
      return join(kNameFields<Group>, kMemberFields, kSelectorFields, kInterruptFields);
    case Group::How::urltest:
      return join(kNameFields<Group>, kMemberFields, kUrlTestFields, kInterruptFields);
    case Group::How::failover:
      return join(kNameFields<Group>, kMemberFields, kFailoverFields);
  }
  return {};
}

void check_group(const Reader& reader, const Typed<Group>& typed) {
  const Group& group = typed.kind;
  if (typed.tag.empty()) reader.complain("\"tag\" is missing");
  if (group.outbounds.empty()) reader.complain("\"outbounds\" is missing, or has none");
  std::set<std::string> seen;
  for (const std::string& tag : group.outbounds) {
    if (!seen.insert(tag).second) {
      reader.member("outbounds").complain("has \"" + tag + "\" twice");
    }
  }
  if (!group.default_outbound.empty() && !seen.contains(group.default_outbound)) {
    reader.member("default").complain("\"" + group.default_outbound + "\" is not in \"outbounds\"");
  }
  if (group.interval > group.idle_timeout) {
    reader.complain("\"interval\" is longer than \"idle_timeout\"");
  }
}

/// RFC 1929 has one byte for each length; an empty password is allowed, an empty user is none.
template <class Kind>
void check_server(const Reader& reader, const Kind& kind) {
  if (kind.server.host.empty()) reader.complain("\"server\" is missing");
  if (kind.server.host.size() > 255) reader.member("server").complain("is longer than 255 bytes");
  if (kind.server.port == 0) reader.complain("\"server_port\" is missing");
  if (kind.username.size() > 255) reader.member("username").complain("is longer than 255 bytes");
  if (kind.password.size() > 255) reader.member("password").complain("is longer than 255 bytes");
  if (kind.username.empty() && !kind.password.empty()) {
    reader.complain("\"password\" needs a \"username\"");
  }
  if constexpr (requires { kind.pipeline; }) {
    if (kind.pipeline && !kind.username.empty()) {
      reader.member("pipeline").complain("cannot be had with a password");
    }
  }
}

/// Whoever goes through another outbound opens no sockets.
template <class Kind>
void check_detour(const Reader& reader, const Typed<Kind>& typed) {
  if (typed.dial.detour.empty()) return;
  for (const char* field :
       {"bind_interface", "routing_mark", "inet4_bind_address", "inet6_bind_address", "reuse_addr",
        "tcp_fast_open", "fallback_delay", "domain_resolver"}) {
    if (reader.value().contains(field)) {
      reader.member(field).complain("does nothing beside \"detour\", whose sockets are used");
    }
  }
}

template <class Kind>
void read_as(const Reader& reader, Outbound& out) {
  Typed<Kind> typed;
  const auto fields = fields_of(typed.kind);
  const std::size_t before = reader.problems().size();
  read_object<Typed<Kind>>(reader, fields, typed);
  if (reader.problems().size() == before) {
    if constexpr (requires { typed.kind.server; }) check_server(reader, typed.kind);
    check_detour(reader, typed);
  }
  out = {std::move(typed.tag), std::move(typed.dial), std::move(typed.kind)};
}

template <Group::How how>
void read_group(const Reader& reader, Outbound& out) {
  Typed<Group> typed;
  typed.kind.how = how;
  const auto fields = fields_of(how);
  const std::size_t before = reader.problems().size();
  read_object<Typed<Group>>(reader, fields, typed);
  if (reader.problems().size() == before) check_group(reader, typed);
  out = {std::move(typed.tag), {}, std::move(typed.kind)};
}

/// A kind's name, how it is read, and how its fields are listed: one line for each.
struct KindInfo {
  std::string_view name;
  void (*read)(const Reader&, Outbound&);
  void (*list)(std::vector<FieldInfo>&, const char* object);
  const char* object;
};

template <class Kind>
void list_as(std::vector<FieldInfo>& all, const char* object) {
  list_fields<Typed<Kind>>(all, object, fields_of(Kind{}));
}

template <Group::How how>
void list_group(std::vector<FieldInfo>& all, const char* object) {
  list_fields<Typed<Group>>(all, object, fields_of(how));
}

constexpr std::array<KindInfo, 7> kKinds{{
    {"direct", read_as<Direct>, list_as<Direct>, "outbounds, direct"},
    {"socks", read_as<Socks>, list_as<Socks>, "outbounds, socks"},
    {"http", read_as<Http>, list_as<Http>, "outbounds, http"},
    {"block", read_as<Block>, list_as<Block>, "outbounds, block"},
    {"selector", read_group<Group::How::selector>, list_group<Group::How::selector>,
     "outbounds, selector"},
    {"urltest", read_group<Group::How::urltest>, list_group<Group::How::urltest>,
     "outbounds, urltest"},
    {"failover", read_group<Group::How::failover>, list_group<Group::How::failover>,
     "outbounds, failover"},
}};

}  // namespace

void read(const Reader& reader, Outbound& out) {
  std::vector<std::string_view> names;
  for (const KindInfo& kind : kKinds) names.push_back(kind.name);
  const std::string type = read_type(reader, names);
  for (const KindInfo& kind : kKinds) {
    if (kind.name == type) kind.read(reader, out);
  }
}

namespace {

/// Walks from one outbound to those it refers to, and finds the way back.
class Circles {
 public:
  explicit Circles(const Config& config) : config_(config) {
    for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
      if (!config.outbounds[i].tag.empty()) by_tag_.emplace(config.outbounds[i].tag, i);
    }
  }

  void find(Problems& problems) {
    for (std::size_t i = 0; i < config_.outbounds.size(); ++i) visit(i, problems);
  }

 private:
  void visit(std::size_t index, Problems& problems) {
    if (done_.contains(index)) return;
    if (const auto begin = std::ranges::find(way_, index); begin != way_.end()) {
      std::string chain;
      for (auto it = begin; it != way_.end(); ++it) chain += config_.outbounds[*it].tag + " -> ";
      return problems.push_back({"outbounds[" + std::to_string(index) + "]",
                                 "goes in a circle: " + chain + config_.outbounds[index].tag});
    }
    way_.push_back(index);
    for (const std::string& tag : references_of(config_.outbounds[index])) {
      if (const auto next = by_tag_.find(tag); next != by_tag_.end()) visit(next->second, problems);
    }
    way_.pop_back();
    done_.insert(index);
  }

  const Config& config_;
  std::map<std::string, std::size_t> by_tag_;
  std::vector<std::size_t> way_;
  std::set<std::size_t> done_;
};

}  // namespace

void check_outbounds(Problems& problems, const Config& config, const std::set<std::string>& tags) {
  for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
    const std::string where = "outbounds[" + std::to_string(i) + "]";
    check_reference(problems, where + ".detour", config.outbounds[i].dial.detour, tags, "outbound");
    const auto* group = std::get_if<Group>(&config.outbounds[i].kind);
    if (group == nullptr) continue;
    for (std::size_t n = 0; n < group->outbounds.size(); ++n) {
      check_reference(problems, where + ".outbounds[" + std::to_string(n) + "]",
                      group->outbounds[n], tags, "outbound");
    }
  }
  Circles(config).find(problems);
}

void list_outbound_fields(std::vector<FieldInfo>& all) {
  for (const KindInfo& kind : kKinds) kind.list(all, kind.object);
  list_fields<Tls>(all, "tls", tls_fields());
}

void load_certificates(Config& config, Problems& problems) {
  for (std::size_t i = 0; i < config.outbounds.size(); ++i) {
    if (auto* http = std::get_if<Http>(&config.outbounds[i].kind)) {
      load_certificates(http->tls, "outbounds[" + std::to_string(i) + "].tls", problems);
    }
  }
}

}  // namespace hairpin::config
