// The configuration as one checked value. Everything below main() is handed the part it needs; no
// component sees all of it, and nothing in here changes while the program runs.
//
// Names, meanings and defaults are sing-box's where it has them; see hairpin-config(5).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strong.h"
#include "config/tls.h"
#include "rule/matcher.h"
#include "rule/rule.h"
#include "sniff/sniff.h"

namespace hairpin::config {

using Duration = std::chrono::milliseconds;

struct Log {
  bool disabled = false;
  log::Level level = log::Level::info;
  std::string output;  ///< Empty: standard error.
  bool timestamp = true;
};

/// What carries packets between the interface and the kernel's stack.
enum class LinkKind : std::uint8_t {
  automatic,  ///< veth where it may be made, otherwise TUN.
  veth,       ///< A pair of virtual Ethernet devices into a private network namespace.
  tun,        ///< Two TUN devices and the translator.
};

/// Whose TCP and UDP end what is captured.
enum class StackKind : std::uint8_t {
  system,     ///< The kernel's.
  userspace,  ///< One of our own, for where the kernel's cannot be had. Needs a TUN.
  mixed,      ///< TCP by the kernel, UDP by our own. Needs a TUN.
};

/// When a client's TCP handshake is answered.
enum class Handshake : std::uint8_t {
  faithful,  ///< When the outbound is connected, where the client's first bytes do not matter.
  eager,     ///< At once.
};

using rule::MacAddress;
using rule::name;
using rule::Network;
using rule::PortRange;

/// Values of packet and connection marks. All are compared and set under `mask`: the other bits are
/// somebody else's.
struct Marks {
  Mark input{0x2023};          ///< To be captured.
  std::optional<Mark> output;  ///< Of our own sockets; empty: Route::default_mark, which it sets.
  std::optional<Mark> reset;   ///< Of a SYN that is to be answered by RST; empty: kResetMark.
  std::uint32_t mask = 0xffff;

  friend bool operator==(const Marks&, const Marks&) = default;
};
inline constexpr Mark kResetMark{0x2025};  ///< Or another one, if the mask has no room for it.

/// What becomes of the traffic that would have been captured, when the program ends.
enum class OnStop : std::uint8_t {
  open,    ///< It goes its usual way.
  closed,  ///< It is refused until `hairpin cleanup`.
};

/// As in sing-box.
inline constexpr std::uint16_t kFirstQueue = 100;

/// Which of the host's traffic is routed to the interface, and by what.
struct AutoRoute {
  bool enabled = false;
  bool strict = false;    ///< What would go around the interface is refused.
  bool redirect = false;  ///< TCP goes to a listener of this host's by NAT, not to the interface.
  bool gateway = false;   ///< This host forwards for others, and is set up to.
  OnStop on_stop = OnStop::open;
  Marks marks;
  /// The first of the packet queues (NFQUEUE) for SYNs that are redirected; empty: from
  /// kFirstQueue on, the first ones that nobody has.
  std::optional<std::uint16_t> queue;
  TableId table{2022};
  RulePriority first_rule{9000};
  std::vector<Prefix> route_address;  ///< Empty: everything.
  std::vector<Prefix> route_exclude_address;
  std::vector<std::string> route_address_set;          ///< Tags of rule-sets; empty: everything.
  std::vector<std::string> route_exclude_address_set;  ///< Tags of rule-sets.
  std::vector<Interval> set_address;                   ///< The addresses of `route_address_set`.
  std::vector<Interval> set_exclude_address;           ///< Those of `route_exclude_address_set`.
  std::vector<std::string> include_interface;          ///< Empty: all. "lo" is this host.
  std::vector<std::string> exclude_interface;
  std::vector<UidRange> include_uid;  ///< Empty: all.
  std::vector<UidRange> exclude_uid;
  // Android: what they mean is added to the two above (config/android.h).
  std::vector<std::uint32_t> include_android_user;
  std::vector<std::string> include_package;
  std::vector<std::string> exclude_package;
  std::vector<MacAddress> include_mac;  ///< Empty: all.
  std::vector<MacAddress> exclude_mac;
  std::vector<std::string> include_cgroup;  ///< Paths below the root; empty: all.
  std::vector<std::string> exclude_cgroup;
  bool bypasses = false;  ///< A rule may tell the kernel to leave destinations alone.
};

struct TunInbound {
  std::string tag;
  LinkKind link = LinkKind::automatic;
  StackKind stack = StackKind::system;
  bool stack_was_gvisor = false;  ///< So the file calls it, as other programs call theirs.
  std::string interface_name;     ///< Empty: the kernel chooses.
  std::vector<Prefix> address;    ///< Of the interface, host bits kept.
  unsigned mtu = 0;               ///< Bytes; 0 is kDefaultMtu.
  Duration udp_timeout = std::chrono::minutes(5);         ///< Of two-way associations.
  Duration tcp_idle_timeout = std::chrono::minutes(124);  ///< RFC 5382, REQ-5.
  std::size_t udp_nat_max = 8192;                         ///< Associations per worker.
  Handshake tcp_handshake = Handshake::faithful;
  AutoRoute auto_route;
};
/// As sing-box on Linux. Any value costs the same here: the virtio header carries 64 KiB at once.
inline constexpr unsigned kDefaultMtu = 65535;
inline constexpr unsigned kMinMtu = 1280;  ///< RFC 8200, section 5.

/// Which addresses of a name are asked for, and which come first.
enum class Strategy : std::uint8_t { as_is, prefer_ipv4, prefer_ipv6, ipv4_only, ipv6_only };

/// Who is asked for the addresses of a name.
struct DomainResolver {
  std::string server;  ///< Tag of a DNS server; empty: nobody in particular.
  std::optional<Strategy> strategy;
  std::optional<Prefix> client_subnet;  ///< Empty: as the rules say.

  friend bool operator==(const DomainResolver&, const DomainResolver&) = default;
};

/// How an outbound opens its connections.
struct Dial {
  std::string detour;  ///< Tag of the outbound that they go through; empty: none.
  std::string bind_interface;
  std::optional<Mark> routing_mark;  ///< Empty: route.default_mark.
  Duration connect_timeout = std::chrono::seconds(5);
  DomainResolver domain_resolver;  ///< Empty: route.default_domain_resolver.
  std::optional<IpAddr> inet4_bind_address;
  std::optional<IpAddr> inet6_bind_address;
  bool reuse_addr = false;
  bool tcp_fast_open = false;
  Duration fallback_delay{300};  ///< Before the next address of a name is tried beside the last.

  friend bool operator==(const Dial&, const Dial&) = default;
};

struct Server {
  std::string host;  ///< Address or name.
  std::uint16_t port = 0;

  friend bool operator==(const Server&, const Server&) = default;
};

struct Direct {
  friend bool operator==(const Direct&, const Direct&) = default;
};
struct Block {
  friend bool operator==(const Block&, const Block&) = default;
};
struct Socks {
  Server server;
  std::string username;  ///< Empty: no authentication.
  std::string password;
  bool tcp = true;
  bool udp = true;
  /// The request is sent with the greeting, not after the answer to it. Saves a round trip; some
  /// servers drop what they did not expect yet.
  bool pipeline = false;

  friend bool operator==(const Socks&, const Socks&) = default;
};
struct Http {
  Server server;
  std::string username;
  std::string password;
  Tls tls;

  friend bool operator==(const Http&, const Http&) = default;
};

/// What is asked to measure a way.
struct Url {
  bool tls = true;
  Server server{"www.gstatic.com", 443};
  std::string authority = "www.gstatic.com";  ///< The host, and its port where it is not usual.
  std::string path = "/generate_204";         ///< With the query.

  friend bool operator==(const Url&, const Url&) = default;
};

/// An outbound that chooses one of several.
struct Group {
  enum class How : std::uint8_t { selector, urltest, failover };
  How how = How::selector;
  std::vector<std::string> outbounds;  ///< Tags; at least one, each once.
  std::string default_outbound;        ///< Of a selector, at the start; empty: the first.
  /// Connections that run through a member end when another one is chosen.
  bool interrupt_exist_connections = false;
  Url url;
  Duration interval = std::chrono::minutes(3);
  Duration tolerance{50};
  Duration idle_timeout = std::chrono::minutes(30);  ///< Unused for so long: not measured.
  Duration retry_after = std::chrono::seconds(30);   ///< Before a member that failed is tried.

  friend bool operator==(const Group&, const Group&) = default;
};

struct Outbound {
  std::string tag;
  Dial dial;
  std::variant<Direct, Block, Socks, Http, Group> kind;

  friend bool operator==(const Outbound&, const Outbound&) = default;
};

/// The proxy of an outbound. Null: it has none.
const Server* server_of(const Outbound& outbound);
/// The same, if it is this host that connects to it: not where another outbound is on the way.
const Server* first_hop_of(const Outbound& outbound);

enum class Action : std::uint8_t {
  route,       ///< To an outbound.
  reject,      ///< TCP is reset, UDP answered with ICMP port unreachable.
  drop,        ///< Silence.
  hijack_dns,  ///< The DNS module answers.
  bypass,      ///< Not for us: the kernel is to leave it alone, and until it does, an outbound.
  // These decide nothing: the rules behind are asked next.
  sniff,    ///< The first bytes tell more.
  options,  ///< Something about the flow is changed.
  resolve,  ///< Of a flow that knows only a name, the addresses are asked for.
};
inline bool is_final(Action action) {
  return action < Action::sniff;
}
/// Whether the flow goes to an outbound.
inline bool has_outbound(Action action) {
  return action == Action::route || action == Action::bypass;
}
/// The outbound of rules that bypass, and name none.
inline constexpr const char* kBypassOutbound = "direct (bypass)";

/// What a rule changes about the flows that it holds for.
struct FlowOptions {
  std::optional<IpAddr> override_address;  ///< Of the destination.
  std::optional<std::uint16_t> override_port;
  std::optional<Duration> udp_timeout;  ///< Of two-way associations; longer ones have no effect.

  bool any() const { return override_address || override_port || udp_timeout; }
};

struct RouteRule {
  rule::Rule rule;  ///< Without conditions: every flow.
  Action action = Action::route;
  bool no_drop = false;  ///< Of Action::reject: it is told to the client, however often.
  std::string outbound;  ///< Of Action::route and Action::bypass.
  sniff::Protocols sniffers = sniff::Protocols::all();  ///< Of Action::sniff.
  Duration sniff_timeout{300};
  FlowOptions options;      ///< Of Action::route and Action::options.
  DomainResolver resolver;  ///< Of Action::resolve.
};

/// Where a rule-set comes from, and in what form.
enum class RuleSetFormat : std::uint8_t {
  inline_rules,  ///< In the configuration.
  source,        ///< A file of JSON.
  binary,        ///< ".srs"
  mmdb,          ///< A database of MaxMind's: the addresses of some countries.
};

struct RuleSet {
  std::string tag;
  RuleSetFormat format = RuleSetFormat::inline_rules;
  std::string path;             ///< Of a remote one: where it is kept.
  std::optional<Url> url;       ///< Of a remote one.
  std::string download_detour;  ///< Tag of an outbound; empty: the first.
  Duration update_interval = std::chrono::hours(24);
  std::vector<std::string> country;                ///< Of RuleSetFormat::mmdb: codes such as "DE".
  std::shared_ptr<const rule::CompiledSet> rules;  ///< Null: not loaded yet.
  std::optional<Stamp> stamp;                      ///< Of the file, before it was read.
  std::vector<Interval> addresses;                 ///< That its rules name.
};

struct Route {
  std::vector<RouteRule> rules;
  std::vector<RuleSet> rule_sets;
  std::string final;          ///< Empty: the first outbound.
  Mark default_mark{0x2024};  ///< On all outbound sockets.
  /// Outbound sockets are bound to this interface, unless their outbound names one.
  std::string default_interface;
  /// The same, to the one that leads out, whichever that is at the time.
  bool auto_detect_interface = false;
  /// Of names of proxies, and of what goes out directly. Empty: the system's resolver for proxies,
  /// the rules of `dns` for others.
  DomainResolver default_domain_resolver;
};

// ---- dns ----

struct DnsUdp {
  Server server;
};
struct DnsTcp {
  Server server;
};
struct DnsTls {
  Server server;
  Tls tls;
};
struct DnsHttps {
  Server server;
  Tls tls;
  std::string path = "/dns-query";
  std::map<std::string, std::string> headers;
};
/// The name servers of the system.
struct DnsLocal {};
/// Names with addresses of their own; others do not exist.
struct DnsHosts {
  std::vector<std::string> paths;  ///< As hosts(5).
  std::map<std::string, std::vector<IpAddr>> predefined;
};
/// Each name gets an address that stands for it.
struct DnsFakeIp {
  std::optional<Prefix> inet4_range;
  std::optional<Prefix> inet6_range;
};

struct DnsServer {
  std::string tag;
  Dial dial;
  std::string detour;  ///< Tag of an outbound; empty: it is reached directly.
  std::variant<DnsUdp, DnsTcp, DnsTls, DnsHttps, DnsLocal, DnsHosts, DnsFakeIp> kind;
};

enum class DnsAction : std::uint8_t {
  route,       ///< To a server.
  reject,      ///< REFUSED.
  drop,        ///< Silence.
  predefined,  ///< What the rule says.
  options,     ///< Something about the question is changed; the rules behind are asked next.
};

/// An answer that a rule gives.
struct DnsPredefined {
  std::uint8_t rcode = 0;
  std::vector<std::string> answer;  ///< Records as in a zone file (RFC 1035, section 5).
  std::vector<std::string> ns;
  std::vector<std::string> extra;
};

struct DnsOptions {
  std::optional<Strategy> strategy;
  bool disable_cache = false;
  std::optional<std::uint32_t> rewrite_ttl;  ///< Seconds.
  std::optional<Prefix> client_subnet;       ///< For whom an answer is asked for (RFC 7871).

  bool any() const { return strategy || disable_cache || rewrite_ttl || client_subnet; }
};

struct DnsRule {
  rule::Rule rule;  ///< Conditions on addresses are about those of the answer.
  bool ip_accept_any = false;
  DnsAction action = DnsAction::route;
  bool no_drop = false;  ///< Of DnsAction::reject, as of RouteRule.
  std::string server;    ///< Of DnsAction::route.
  DnsOptions options;
  DnsPredefined predefined;
};

struct Dns {
  std::vector<DnsServer> servers;
  std::vector<DnsRule> rules;
  std::string final;  ///< Empty: the first server.
  Strategy strategy = Strategy::as_is;
  bool disable_cache = false;
  bool disable_expire = false;
  std::size_t cache_capacity = 4096;    ///< Answers.
  bool reverse_mapping = false;         ///< Flows are given the names that their addresses had.
  std::optional<Prefix> client_subnet;  ///< Of questions for which no rule says another.
};

/// What is kept over a restart.
struct CacheFile {
  bool enabled = false;
  std::string path = "/var/lib/hairpin/cache";
  bool store_fakeip = false;
};

struct Config {
  Log log;
  std::vector<TunInbound> inbounds;
  std::vector<Outbound> outbounds;  ///< At least one; the first is the default.
  Route route;
  Dns dns;
  CacheFile cache_file;
};

/// Tags of the outbounds that this one goes through, or chooses from.
std::vector<std::string> references_of(const Outbound& outbound);

/// The marks of all outbound sockets, each once.
std::vector<Mark> marks_of(const Config& config);

}  // namespace hairpin::config
