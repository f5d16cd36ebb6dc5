#include "app/lacks.h"

#include <algorithm>
#include <array>

#include "host/prefixes.h"

namespace hairpin::app {

namespace {

using config::TunInbound;

struct Feature {
  const char* field;
  bool (*asked)(const TunInbound&);
  const char* what;
};

template <auto Member>
constexpr auto lists = [](const TunInbound& tun) { return !(tun.auto_route.*Member).empty(); };
template <auto Member>
constexpr auto wants = [](const TunInbound& tun) { return tun.auto_route.*Member; };

constexpr const char* kLeaveOut = "needs Linux; leave it out";
constexpr const char* kByAddress = "needs Linux; use route_address and route_exclude_address";

constexpr std::array<Feature, 19> kFeatures{{
    {"stack", [](const TunInbound& tun) { return tun.stack != config::StackKind::userspace; },
     "only \"userspace\" is there on this system; leave it out, or say so"},
    {"link", [](const TunInbound& tun) { return tun.link == config::LinkKind::veth; },
     "\"veth\" needs Linux; leave it out"},
    {"strict_route", wants<&config::AutoRoute::strict>, kLeaveOut},
    {"auto_redirect", wants<&config::AutoRoute::redirect>, kLeaveOut},
    {"gateway", wants<&config::AutoRoute::gateway>, kLeaveOut},
    {"on_stop",
     [](const TunInbound& tun) { return tun.auto_route.on_stop == config::OnStop::closed; },
     "\"closed\" needs Linux; leave it out"},
    {"route_address_set", lists<&config::AutoRoute::route_address_set>, kByAddress},
    {"route_exclude_address_set", lists<&config::AutoRoute::route_exclude_address_set>, kByAddress},
    {"include_interface", lists<&config::AutoRoute::include_interface>, kLeaveOut},
    {"exclude_interface", lists<&config::AutoRoute::exclude_interface>, kLeaveOut},
    {"include_uid", lists<&config::AutoRoute::include_uid>, kLeaveOut},
    {"exclude_uid", lists<&config::AutoRoute::exclude_uid>, kLeaveOut},
    {"include_package", lists<&config::AutoRoute::include_package>, kLeaveOut},
    {"exclude_package", lists<&config::AutoRoute::exclude_package>, kLeaveOut},
    {"include_android_user", lists<&config::AutoRoute::include_android_user>, kLeaveOut},
    {"include_mac_address", lists<&config::AutoRoute::include_mac>, kLeaveOut},
    {"exclude_mac_address", lists<&config::AutoRoute::exclude_mac>, kLeaveOut},
    {"include_cgroup", lists<&config::AutoRoute::include_cgroup>, kLeaveOut},
    {"exclude_cgroup", lists<&config::AutoRoute::exclude_cgroup>, kLeaveOut},
}};

/// Whether each outbound that opens sockets knows by which interface they leave.
bool has_way_out(const config::Config& config) {
  if (config.route.auto_detect_interface || !config.route.default_interface.empty()) return true;
  return std::ranges::all_of(config.outbounds, [](const config::Outbound& outbound) {
    return !outbound.dial.bind_interface.empty();
  });
}

}  // namespace

std::vector<std::string> lacks(const config::Config& config) {
  std::vector<std::string> found;
  for (std::size_t i = 0; i < config.inbounds.size(); ++i) {
    const TunInbound& tun = config.inbounds[i];
    const std::string where = "inbounds[" + std::to_string(i) + "].";
    for (const Feature& feature : kFeatures) {
      if (feature.asked(tun)) found.push_back(where + feature.field + ": " + feature.what);
    }
    if (tun.auto_route.enabled && !has_way_out(config)) {
      found.push_back(where +
                      "auto_route: what hairpin sends itself would come back to it; name the "
                      "interface that leads out in route.default_interface, or have it found by "
                      "route.auto_detect_interface");
    }
  }
  return found;
}

std::vector<Prefix> captured(const TunInbound& inbound) {
  std::vector<Prefix> wanted = inbound.auto_route.route_address;
  if (wanted.empty()) {
    for (const char* half : {"0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"}) {
      wanted.push_back(*Prefix::parse(half));
    }
  }
  // Without an address there is no way to a family's destinations.
  std::erase_if(wanted, [&inbound](const Prefix& prefix) {
    return std::ranges::none_of(inbound.address, [&prefix](const Prefix& own) {
      return own.address.family() == prefix.address.family();
    });
  });
  return host::subtract(std::move(wanted), inbound.auto_route.route_exclude_address);
}

}  // namespace hairpin::app
