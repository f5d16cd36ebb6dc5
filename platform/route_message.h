// Messages of macOS' routing sockets (PF_ROUTE, route(4)): how routes are added and removed there,
// and how changes are told. Bytes only, so that they can be tested anywhere; numbers and layout are
// those of Darwin's net/route.h, which utun_routes_macos.cc compares with the header itself.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/strong.h"

namespace hairpin::platform::darwin {

/// RTM_…
enum class RouteVerb : std::uint8_t { add = 1, remove = 2, change = 3, get = 4 };

struct RouteRequest {
  RouteVerb verb = RouteVerb::add;
  Prefix destination;
  /// An address of another host, an interface, or (for `get`) neither.
  std::variant<std::monostate, IpAddr, IfIndex> gateway = {};
  /// The route is for sockets that are bound to this interface only (RTF_IFSCOPE); 0: for all.
  IfIndex scope = {};
  std::int32_t sequence = 0;  ///< Comes back with the answer.
};

std::vector<std::byte> encode(const RouteRequest& request);

/// What the kernel says: an answer, or a change that somebody has made.
struct RouteNews {
  std::uint8_t type = 0;  ///< RTM_…
  std::int32_t process = 0;
  std::int32_t sequence = 0;
  int error = 0;  ///< Darwin's errno.
  IfIndex interface;
  std::optional<Prefix> destination;
  std::optional<IpAddr> gateway;
  /// A route that is up, leads somewhere (not RTF_REJECT or RTF_BLACKHOLE), and is for all sockets
  /// (not RTF_IFSCOPE).
  bool usable = false;
};

/// The first message of what was read, and the rest. Empty: it is no message of this version.
struct Decoded {
  RouteNews news;
  std::span<const std::byte> rest;
};
std::optional<Decoded> decode(std::span<const std::byte> bytes);

/// The interface of the first default route in a list of all routes (NET_RT_DUMP) that is usable
/// and does not lead to `own`. macOS orders its networks by itself and gives only the first of them
/// such a route; those of the others have a scope. 0: there is none.
IfIndex default_interface(std::span<const std::byte> routes, IfIndex own);

/// Whether a message of this type says that addresses, interfaces or routes have changed.
bool is_change(std::uint8_t type);

// Of rt_msghdr, in bytes:
inline constexpr std::size_t kHeaderSize = 92;
inline constexpr std::size_t kTypeAt = 3;
inline constexpr std::size_t kIndexAt = 4;
inline constexpr std::size_t kFlagsAt = 8;
inline constexpr std::size_t kAddressesAt = 12;
inline constexpr std::size_t kProcessAt = 16;
inline constexpr std::size_t kSequenceAt = 20;
inline constexpr std::size_t kErrorAt = 24;
inline constexpr std::uint8_t kVersion = 5;  ///< RTM_VERSION

}  // namespace hairpin::platform::darwin
