// Addresses, prefixes and endpoints as values. One type holds both families, so that code above the
// packet headers has one path for IPv4 and IPv6.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct sockaddr_storage;

namespace hairpin {

enum class Family : std::uint8_t { v4, v6 };

/// An IPv4 or IPv6 address. The default is 0.0.0.0.
class IpAddr {
 public:
  constexpr IpAddr() = default;
  /// Network byte order, as on the wire.
  constexpr explicit IpAddr(std::array<std::uint8_t, 4> v4) {
    for (std::size_t i = 0; i < 4; ++i) bytes_[i] = v4[i];
  }
  constexpr explicit IpAddr(std::array<std::uint8_t, 16> v6) : bytes_(v6), family_(Family::v6) {}

  /// Takes 4 or 16 bytes as they stand in a packet. Requires: one of these sizes.
  static IpAddr from_wire(std::span<const std::byte> bytes);
  /// Text form without zone or port; IPv4-mapped IPv6 addresses stay IPv6.
  static std::optional<IpAddr> parse(std::string_view text);

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::v4; }
  bool is_v6() const { return family_ == Family::v6; }
  std::size_t size() const { return is_v4() ? 4 : 16; }
  unsigned bits() const { return is_v4() ? 32 : 128; }
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), size()}; }

  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_multicast() const;   ///< Includes 255.255.255.255.
  bool is_link_local() const;  ///< 169.254.0.0/16, fe80::/10.
  /// RFC 1918, RFC 6598, RFC 4193, loopback and link-local: not of the public Internet.
  bool is_private() const;

  /// An IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2) as the IPv4 address that it means.
  IpAddr unmapped() const;

  std::string text() const;

  friend constexpr auto operator<=>(const IpAddr&, const IpAddr&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  Family family_ = Family::v4;
};

/// An address with a length: an interface's address (host bits kept) or a network.
struct Prefix {
  IpAddr address;
  unsigned length = 0;  ///< Bits.

  /// "192.0.2.1/24"; a bare address is its own /32 or /128.
  static std::optional<Prefix> parse(std::string_view text);
  bool contains(const IpAddr& other) const;
  std::string text() const;

  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

/// 0.0.0.0/0 or ::/0.
Prefix everything(Family family);

/// Where a packet comes from or goes to. `port` is in host order.
struct Endpoint {
  IpAddr address;
  std::uint16_t port = 0;

  std::string text() const;  ///< "192.0.2.1:80", "[2001:db8::1]:80"
  /// "192.0.2.1:80" or "[2001:db8::1]:80".
  static std::optional<Endpoint> parse(std::string_view text);

  /// IPv4-mapped IPv6 addresses become IPv4. Requires: an AF_INET or AF_INET6 address.
  static Endpoint from_sockaddr(const sockaddr_storage& from);
  /// Returns the length of what was written to `to`.
  std::uint32_t to_sockaddr(sockaddr_storage& to) const;

  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

struct EndpointHash {
  std::size_t operator()(const Endpoint& endpoint) const noexcept;
};

/// Decimal, no sign, no blanks, at most `max`.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t max);

}  // namespace hairpin
