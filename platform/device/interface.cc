#include "platform/device/interface.h"

#include <algorithm>

namespace hairpin::device {

namespace {

std::optional<unsigned> hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<unsigned>(digit - '0');
  const char lower = static_cast<char>(digit | 0x20);
  if (lower >= 'a' && lower <= 'f') return static_cast<unsigned>(lower - 'a' + 10);
  return std::nullopt;
}

bool same_address(const InterfaceAddress& one, const InterfaceAddress& other) {
  return one.prefix == other.prefix && one.peer == other.peer && one.broadcast == other.broadcast;
}

/// A link-local address that the kernel has made itself comes back by itself only: it stays.
bool is_generated(const InterfaceAddress& address) {
  return address.prefix.address.is_v6() && address.prefix.address.is_link_local();
}

}  // namespace

std::optional<HardwareAddress> parse_hardware_address(std::string_view text) {
  constexpr std::size_t kEach = 3;  // two digits and a colon
  HardwareAddress address{};
  if (text.size() != address.size() * kEach - 1) return std::nullopt;
  for (std::size_t i = 0; i < address.size(); ++i) {
    const auto high = hex_digit(text[i * kEach]);
    const auto low = hex_digit(text[i * kEach + 1]);
    if (!high || !low) return std::nullopt;
    if (i + 1 < address.size() && text[i * kEach + 2] != ':') return std::nullopt;
    address.at(i) = static_cast<std::uint8_t>(*high << 4U | *low);
  }
  return address;
}

std::string hardware_address_text(const HardwareAddress& address) {
  std::string text;
  for (const std::uint8_t byte : address) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    if (!text.empty()) text += ':';
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0x0fU];
  }
  return text;
}

Result<> set_addresses(IfIndex interface, const std::vector<InterfaceAddress>& addresses) {
  const auto present = interface_addresses(interface);
  if (!present) return present.error();
  const auto has = [](const auto& list, const InterfaceAddress& address) {
    return std::ranges::any_of(list, [&](const auto& one) { return same_address(one, address); });
  };
  // What goes first may be what is wanted with another prefix or peer.
  for (const InterfaceAddress& address : *present) {
    if (has(addresses, address) || is_generated(address)) continue;
    if (auto gone = remove_address(interface, address.prefix.address); !gone) return gone;
  }
  for (const InterfaceAddress& address : addresses) {
    if (has(*present, address)) continue;
    if (auto added = add_address(interface, address); !added) return added;
  }
  return {};
}

Result<> set_broadcast(IfIndex interface, const IpAddr& address, const IpAddr& broadcast) {
  auto present = interface_addresses(interface);
  if (!present) return present.error();
  const auto found =
      std::ranges::find(*present, address, [](const auto& one) { return one.prefix.address; });
  if (found == present->end()) {
    return Error{"interface has no address " + address.text(), EADDRNOTAVAIL};
  }
  found->broadcast = broadcast;
  if (auto gone = remove_address(interface, address); !gone) return gone;
  return add_address(interface, *found);
}

}  // namespace hairpin::device
