#include "base/address.h"

#include <algorithm>
// With Asio's addresses come the system's socket headers, whichever system it is.
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <cstring>

namespace hairpin {

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

IpAddr IpAddr::from_wire(std::span<const std::byte> bytes) {
  IpAddr address;
  address.family_ = bytes.size() == 4 ? Family::v4 : Family::v6;
  std::memcpy(address.bytes_.data(), bytes.data(), address.size());
  return address;
}

std::optional<IpAddr> IpAddr::parse(std::string_view text) {
  // inet_pton wants a terminated string; no valid address is longer than INET6_ADDRSTRLEN.
  std::array<char, INET6_ADDRSTRLEN> copy{};
  if (text.empty() || text.size() >= copy.size()) return std::nullopt;
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  std::ranges::copy(text, copy.begin());

  std::array<std::uint8_t, 4> v4{};
  if (inet_pton(AF_INET, copy.data(), v4.data()) == 1) return IpAddr(v4);
  std::array<std::uint8_t, 16> v6{};
  if (inet_pton(AF_INET6, copy.data(), v6.data()) == 1) return IpAddr(v6);
  return std::nullopt;
}

bool IpAddr::is_unspecified() const {
  return std::ranges::all_of(bytes(), [](std::uint8_t byte) { return byte == 0; });
}

bool IpAddr::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto byte) { return byte == 0; }) &&
         bytes_[15] == 1;
}

bool IpAddr::is_multicast() const {
  if (is_v6()) return bytes_[0] == 0xff;
  return (bytes_[0] & 0xf0) == 0xe0 ||
         std::ranges::all_of(bytes(), [](std::uint8_t byte) { return byte == 255; });
}

bool IpAddr::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddr::is_private() const {
  if (is_loopback() || is_link_local()) return true;
  if (is_v6()) return (bytes_[0] & 0xfe) == 0xfc;
  return bytes_[0] == 10 || (bytes_[0] == 172 && (bytes_[1] & 0xf0) == 16) ||
         (bytes_[0] == 192 && bytes_[1] == 168) || (bytes_[0] == 100 && (bytes_[1] & 0xc0) == 64);
}

IpAddr IpAddr::unmapped() const {
  constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (is_v4() || !std::equal(kMapped.begin(), kMapped.end(), bytes_.begin())) return *this;
  return from_wire(std::as_bytes(std::span(bytes_)).last(4));
}

std::string IpAddr::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, bytes_.data(), out.data(), out.size());
  return out.data();
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = IpAddr::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return Prefix{*address, address->bits()};
  const auto length = parse_number(text.substr(slash + 1), address->bits());
  if (!length) return std::nullopt;
  return Prefix{*address, static_cast<unsigned>(*length)};
}

bool Prefix::contains(const IpAddr& other) const {
  if (other.family() != address.family()) return false;
  const auto ours = address.bytes();
  const auto theirs = other.bytes();
  const std::size_t whole = length / 8;
  if (!std::equal(ours.begin(), ours.begin() + static_cast<std::ptrdiff_t>(whole),
                  theirs.begin())) {
    return false;
  }
  const unsigned rest = length % 8;
  if (rest == 0) return true;
  return ((ours[whole] ^ theirs[whole]) >> (8 - rest)) == 0;
}

std::string Prefix::text() const {
  return address.text() + "/" + std::to_string(length);
}

std::string Endpoint::text() const {
  const std::string host = address.is_v4() ? address.text() : "[" + address.text() + "]";
  return host + ":" + std::to_string(port);
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number(text.substr(colon + 1), 65535);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddr::parse(host);
  if (!port || !address || address->is_v6() != bracketed) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(*port)};
}

Endpoint Endpoint::from_sockaddr(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return {IpAddr(bytes), ntohs(v4.sin_port)};
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &from, sizeof v6);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return {IpAddr(bytes).unmapped(), ntohs(v6.sin6_port)};
}

std::uint32_t Endpoint::to_sockaddr(sockaddr_storage& to) const {
  to = {};
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), 4);
    std::memcpy(&to, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes().data(), 16);
  std::memcpy(&to, &v6, sizeof v6);
  return sizeof v6;
}

std::size_t EndpointHash::operator()(const Endpoint& endpoint) const noexcept {
  // FNV-1a over at most 18 bytes. Keys come from the network, but the tables keyed by them are
  // capped, so the worst that chosen collisions buy is a scan of the cap.
  std::uint64_t hash = 14695981039346656037U;
  const auto mix = [&hash](std::uint8_t byte) { hash = (hash ^ byte) * 1099511628211U; };
  for (const std::uint8_t byte : endpoint.address.bytes()) mix(byte);
  mix(static_cast<std::uint8_t>(endpoint.port >> 8));
  mix(static_cast<std::uint8_t>(endpoint.port & 0xff));
  return static_cast<std::size_t>(hash);
}

Prefix everything(Family family) {
  return {family == Family::v4 ? IpAddr() : IpAddr(std::array<std::uint8_t, 16>{}), 0};
}

}  // namespace hairpin
