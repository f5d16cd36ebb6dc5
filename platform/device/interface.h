// Network interfaces: what they are called, their addresses and other settings. All of it concerns
// the network namespace of the calling thread, and needs the right to configure it (Linux:
// CAP_NET_ADMIN; EPERM).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::device {

/// IEEE 802 MAC-48.
using HardwareAddress = std::array<std::uint8_t, 6>;
/// "02:00:00:00:00:01"
std::optional<HardwareAddress> parse_hardware_address(std::string_view text);
std::string hardware_address_text(const HardwareAddress& address);

/// An address of an interface.
struct InterfaceAddress {
  /// The address, and how much of it is the network's. Where there is a peer, the length is that
  /// of the peer's network.
  Prefix prefix;
  std::optional<IpAddr> peer = {};       ///< The other end of a point-to-point link.
  std::optional<IpAddr> broadcast = {};  ///< IPv4.
  /// IPv6: ask the link first whether somebody else has it (RFC 4862, 5.4). It cannot be used
  /// meanwhile. Not told by `interface_addresses`.
  bool detect_duplicates = false;

  friend auto operator<=>(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct InterfaceState {
  std::string name;
  unsigned mtu = 0;                                 ///< Bytes.
  unsigned queue_length = 0;                        ///< Packets that wait to be read (txqueuelen).
  bool up = false;                                  ///< Somebody has brought it up.
  bool running = false;                             ///< Up, and somebody is at the other end.
  std::optional<HardwareAddress> hardware_address;  ///< Empty: it has none (TUN).
};

/// What to change; what is empty stays.
struct InterfaceChange {
  std::optional<std::string> name = {};  ///< Linux before 6.2: only while the interface is down.
  std::optional<unsigned> mtu = {};
  std::optional<unsigned> queue_length = {};
  std::optional<HardwareAddress> hardware_address = {};  ///< EOPNOTSUPP: a TUN has none.
  std::optional<bool> up = {};
};

/// Error code ENODEV when there is no such interface.
Result<IfIndex> find_interface(const std::string& name);

Result<InterfaceState> interface_state(IfIndex interface);
/// In one request; when it is refused, a part of it may have been done.
Result<> change_interface(IfIndex interface, const InterfaceChange& change);
/// Keeps the kernel from giving it IPv6 addresses of its own (link-local). Where there is no IPv6,
/// there is nothing to do.
Result<> disable_generated_addresses(IfIndex interface);

Result<std::vector<InterfaceAddress>> interface_addresses(IfIndex interface);
/// The network of the address is routed to the interface from then on, as long as it is up.
/// What is sent to it arrives when this returns, where the interface runs and nothing else is asked
/// for. EEXIST: it has it.
Result<> add_address(IfIndex interface, const InterfaceAddress& address);
/// EADDRNOTAVAIL: it has no such address. Others in the same network stay.
Result<> remove_address(IfIndex interface, const IpAddr& address);
/// Adds what is missing and removes what is not in the list, but for generated link-local ones.
Result<> set_addresses(IfIndex interface, const std::vector<InterfaceAddress>& addresses);
/// The address goes and comes back for it, with the route to its network.
Result<> set_broadcast(IfIndex interface, const IpAddr& address, const IpAddr& broadcast);

}  // namespace hairpin::device
