#include "platform/route_message.h"

#include <algorithm>
#include <array>

namespace hairpin::platform::darwin {

namespace {

// RTF_…
constexpr std::uint32_t kUp = 0x1;
constexpr std::uint32_t kGateway = 0x2;
constexpr std::uint32_t kHost = 0x4;
constexpr std::uint32_t kReject = 0x8;
constexpr std::uint32_t kStatic = 0x800;
constexpr std::uint32_t kBlackhole = 0x1000;
constexpr std::uint32_t kScoped = 0x1000000;
// RTA_…
constexpr std::uint32_t kDestinationFollows = 0x1;
constexpr std::uint32_t kGatewayFollows = 0x2;
constexpr std::uint32_t kMaskFollows = 0x4;
// AF_…
constexpr std::uint8_t kInet = 2;
constexpr std::uint8_t kLink = 18;
constexpr std::uint8_t kInet6 = 30;
// sizeof
constexpr std::uint8_t kSockaddrIn = 16;
constexpr std::uint8_t kSockaddrIn6 = 28;
constexpr std::uint8_t kSockaddrDl = 20;

/// Darwin's processors are little-endian, whatever this one is.
template <class T>
void put(std::vector<std::byte>& bytes, std::size_t at, T value) {
  for (std::size_t i = 0; i < sizeof value; ++i) {
    bytes[at + i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
  }
}

template <class T>
T get(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;)
    value = value << 8 | std::to_integer<unsigned>(bytes[at + i]);
  return static_cast<T>(value);
}

/// Each sockaddr begins at a multiple of four bytes.
std::size_t padded(std::size_t size) {
  return size == 0 ? 4 : (size + 3) & ~std::size_t{3};
}

void append_address(std::vector<std::byte>& bytes, const IpAddr& address) {
  const bool v4 = address.is_v4();
  const std::size_t at = bytes.size();
  bytes.resize(at + padded(v4 ? kSockaddrIn : kSockaddrIn6));
  put<std::uint8_t>(bytes, at, v4 ? kSockaddrIn : kSockaddrIn6);
  put<std::uint8_t>(bytes, at + 1, v4 ? kInet : kInet6);
  std::ranges::copy(std::as_bytes(address.bytes()),
                    bytes.begin() + static_cast<std::ptrdiff_t>(at + (v4 ? 4 : 8)));
}

void append_interface(std::vector<std::byte>& bytes, IfIndex interface) {
  const std::size_t at = bytes.size();
  bytes.resize(at + padded(kSockaddrDl));
  put<std::uint8_t>(bytes, at, kSockaddrDl);
  put<std::uint8_t>(bytes, at + 1, kLink);
  put<std::uint16_t>(bytes, at + 2, static_cast<std::uint16_t>(interface.value()));
}

/// The first `length` bits of all ones.
IpAddr mask_of(const Prefix& prefix) {
  std::array<std::byte, 16> bytes{};
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    bytes[bit / 8] |= static_cast<std::byte>(0x80 >> bit % 8);
  }
  return IpAddr::from_wire(std::span(bytes).first(prefix.address.size()));
}

IpAddr masked(const Prefix& prefix) {
  std::array<std::byte, 16> bytes{};
  const auto address = std::as_bytes(prefix.address.bytes());
  const IpAddr mask = mask_of(prefix);
  const auto kept = std::as_bytes(mask.bytes());
  for (std::size_t i = 0; i < address.size(); ++i) bytes[i] = address[i] & kept[i];
  return IpAddr::from_wire(std::span(bytes).first(address.size()));
}

/// The address in a sockaddr that may be shorter than its type: of masks, zeros at the end are left
/// out, and so is their family.
std::optional<IpAddr> address_in(std::span<const std::byte> sockaddr, std::uint8_t family) {
  if (family != kInet && family != kInet6) return std::nullopt;
  const std::size_t from = family == kInet ? 4 : 8;
  const std::size_t size = family == kInet ? 4 : 16;
  std::array<std::byte, 16> bytes{};
  for (std::size_t i = 0; i < size && from + i < sockaddr.size(); ++i)
    bytes[i] = sockaddr[from + i];
  return IpAddr::from_wire(std::span(bytes).first(size));
}

unsigned length_of(const IpAddr& mask) {
  unsigned length = 0;
  for (const std::uint8_t byte : mask.bytes()) {
    for (unsigned bit = 0x80; bit != 0 && (byte & bit) != 0; bit >>= 1) ++length;
    if (byte != 0xff) break;
  }
  return length;
}

/// One sockaddr after the other.
class Addresses {
 public:
  explicit Addresses(std::span<const std::byte> bytes) : rest_(bytes) {}

  /// Empty: the message ends before it.
  std::optional<std::span<const std::byte>> next() {
    if (rest_.size() < 2) return std::nullopt;
    const std::size_t size = std::to_integer<std::size_t>(rest_[0]);
    if (size > rest_.size()) return std::nullopt;
    const auto found = rest_.first(size);
    rest_ = rest_.subspan(std::min(padded(size), rest_.size()));
    return found;
  }

 private:
  std::span<const std::byte> rest_;
};

std::uint8_t family_of(std::span<const std::byte> sockaddr) {
  return sockaddr.size() < 2 ? 0 : std::to_integer<std::uint8_t>(sockaddr[1]);
}

void read_addresses(std::span<const std::byte> bytes, std::uint32_t which, std::uint32_t flags,
                    RouteNews& news) {
  Addresses addresses(bytes);
  std::uint8_t family = 0;
  std::optional<IpAddr> destination;
  for (std::uint32_t bit = kDestinationFollows; bit <= kMaskFollows; bit <<= 1) {
    if ((which & bit) == 0) continue;
    const auto sockaddr = addresses.next();
    if (!sockaddr) return;
    if (bit == kDestinationFollows) {
      family = family_of(*sockaddr);
      destination = address_in(*sockaddr, family);
      if (destination) news.destination = Prefix{*destination, destination->bits()};
    } else if (bit == kGatewayFollows) {
      news.gateway = address_in(*sockaddr, family_of(*sockaddr));
    } else if (destination && (flags & kHost) == 0) {
      const auto mask = address_in(*sockaddr, family);
      if (mask) news.destination->length = length_of(*mask);
    }
  }
}

}  // namespace

std::vector<std::byte> encode(const RouteRequest& request) {
  std::vector<std::byte> bytes(kHeaderSize);
  const bool host = request.destination.length == request.destination.address.bits();
  std::uint32_t flags = kUp | kStatic;
  std::uint32_t follows = kDestinationFollows;
  if (host) flags |= kHost;
  append_address(bytes, masked(request.destination));
  if (const auto* gateway = std::get_if<IpAddr>(&request.gateway)) {
    flags |= kGateway;
    follows |= kGatewayFollows;
    append_address(bytes, *gateway);
  } else if (const auto* interface = std::get_if<IfIndex>(&request.gateway)) {
    follows |= kGatewayFollows;
    append_interface(bytes, *interface);
  }
  if (!host) {
    follows |= kMaskFollows;
    append_address(bytes, mask_of(request.destination));
  }
  if (request.scope) flags |= kScoped;
  put(bytes, 0, static_cast<std::uint16_t>(bytes.size()));
  put(bytes, 2, kVersion);
  put(bytes, kTypeAt, static_cast<std::uint8_t>(request.verb));
  put(bytes, kIndexAt, static_cast<std::uint16_t>(request.scope.value()));
  put(bytes, kFlagsAt, flags);
  put(bytes, kAddressesAt, follows);
  put(bytes, kSequenceAt, request.sequence);
  return bytes;
}

std::optional<Decoded> decode(std::span<const std::byte> bytes) {
  if (bytes.size() < 4) return std::nullopt;
  const auto size = get<std::uint16_t>(bytes, 0);
  if (size < 4 || size > bytes.size() || get<std::uint8_t>(bytes, 2) != kVersion) {
    return std::nullopt;
  }
  const auto message = bytes.first(size);
  Decoded decoded{{}, bytes.subspan(size)};
  decoded.news.type = get<std::uint8_t>(message, kTypeAt);
  // Messages about addresses and interfaces have headers of their own, which nobody asks for.
  const bool of_route = decoded.news.type <= static_cast<std::uint8_t>(RouteVerb::get);
  if (!of_route) return decoded;
  if (size < kHeaderSize) return std::nullopt;
  decoded.news.interface = IfIndex{get<std::uint16_t>(message, kIndexAt)};
  decoded.news.process = get<std::int32_t>(message, kProcessAt);
  decoded.news.sequence = get<std::int32_t>(message, kSequenceAt);
  decoded.news.error = get<std::int32_t>(message, kErrorAt);
  const auto flags = get<std::uint32_t>(message, kFlagsAt);
  decoded.news.usable = (flags & (kUp | kReject | kBlackhole | kScoped)) == kUp;
  read_addresses(message.subspan(kHeaderSize), get<std::uint32_t>(message, kAddressesAt), flags,
                 decoded.news);
  return decoded;
}

IfIndex default_interface(std::span<const std::byte> routes, IfIndex own) {
  while (const auto decoded = decode(routes)) {
    const RouteNews& route = decoded->news;
    const bool is_default = route.destination && route.destination->length == 0;
    if (is_default && route.usable && route.interface && route.interface != own) {
      return route.interface;
    }
    routes = decoded->rest;
  }
  return {};
}

bool is_change(std::uint8_t type) {
  // RTM_ADD, _DELETE, _CHANGE, _NEWADDR, _DELADDR, _IFINFO, _IFINFO2
  constexpr std::array<std::uint8_t, 7> kChanges{0x1, 0x2, 0x3, 0xc, 0xd, 0xe, 0x12};
  return std::ranges::find(kChanges, type) != kChanges.end();
}

}  // namespace hairpin::platform::darwin
