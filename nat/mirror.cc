#include "nat/mirror.h"

#include <array>

#include "nat/checksum.h"

namespace hairpin::nat {

namespace {

/// One's-complement addition of 16-bit words.
std::uint16_t plus(std::uint16_t a, std::uint16_t b) {
  return Sum().add(a).add(b).folded();
}

std::uint16_t minus(std::uint16_t a, std::uint16_t b) {
  return plus(a, static_cast<std::uint16_t>(~b));
}

Mirror mirror4(const IpAddr& address) {
  constexpr std::array<std::uint16_t, 2> kNetworks{0xa9fe /* 169.254 */, 0xc612 /* 198.18 */};
  const std::uint16_t network = address.is_link_local() ? kNetworks[1] : kNetworks[0];
  const std::uint16_t host = minus(Sum().add(address).folded(), network);
  const std::array<std::uint8_t, 4> bytes{
      static_cast<std::uint8_t>(network >> 8), static_cast<std::uint8_t>(network & 0xff),
      static_cast<std::uint8_t>(host >> 8), static_cast<std::uint8_t>(host & 0xff)};
  return {address, IpAddr(bytes)};
}

Mirror mirror6(const IpAddr& address) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = address.bytes()[i];
  const auto word = [&](std::size_t i) {
    return static_cast<std::uint16_t>(bytes[i] << 8 | bytes[i + 1]);
  };
  const auto put = [&](std::size_t i, std::uint16_t value) {
    bytes[i] = static_cast<std::uint8_t>(value >> 8);
    bytes[i + 1] = static_cast<std::uint8_t>(value & 0xff);
  };
  put(12, plus(word(12), 1));
  const std::uint16_t last = minus(word(14), 1);
  put(14, last == 0xffff ? 0 : last);  // both are zero in one's complement; 0 reads better
  return {address, IpAddr(bytes)};
}

}  // namespace

Mirror mirror_of(const IpAddr& address) {
  return address.is_v4() ? mirror4(address) : mirror6(address);
}

}  // namespace hairpin::nat
