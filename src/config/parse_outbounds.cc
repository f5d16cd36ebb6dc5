#include "config/parse_outbounds.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>

#include "config/parse_tls.h"

namespace hairpin::config {

namespace {

constexpr std::string_view kText = "a text";
constexpr std::string_view kBool = "true or false";
constexpr std::string_view kDuration = "a duration such as \"5m\"";

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
constexpr auto into =
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

template <class Kind>
inline constexpr std::array<Field<Typed<Kind>>, 3> kDialFields{{
    {"bind_interface", "the name of an interface", into_dial<Kind, &Dial::bind_interface>},
    {"routing_mark", "a mark", read_routing_mark<Kind>},
    {"connect_timeout", kDuration, into_dial<Kind, &Dial::connect_timeout>},
}};

template <class Kind>
inline constexpr std::array<Field<Typed<Kind>>, 5> kServerFields{{
    {"detour", "the tag of an outbound", into_dial<Kind, &Dial::detour>},
    {"server", "an address or a host name",
     [](const Reader& reader, Typed<Kind>& out) { read(reader, out.kind.server.host); }},
    {"server_port", "a port",
     [](const Reader& reader, Typed<Kind>& out) { read_port(reader, out.kind.server.port); }},
    {"username", kText, into<Kind, &Kind::username>},
    {"password", kText, into<Kind, &Kind::password>},
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
    {"pipeline", kBool, into<Socks, &Socks::pipeline>},
}};

constexpr std::array<Field<Typed<Http>>, 1> kHttpFields{{
    {"tls", "an object", into<Http, &Http::tls>},
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
  for (const char* field : {"bind_interface", "routing_mark"}) {
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

constexpr std::array<KindInfo, 4> kKinds{{
    {"direct", read_as<Direct>, list_as<Direct>, "outbounds, direct"},
    {"socks", read_as<Socks>, list_as<Socks>, "outbounds, socks"},
    {"http", read_as<Http>, list_as<Http>, "outbounds, http"},
    {"block", read_as<Block>, list_as<Block>, "outbounds, block"},
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
