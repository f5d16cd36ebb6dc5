// Addresses as lwIP has them.
#pragma once

#include <cstring>

#include <lwip/ip_addr.h>
#include "base/address.h"

namespace hairpin::tcp {

inline IpAddr from_lwip(const ip_addr_t& address) {
  if (address.type == IPADDR_TYPE_V4) {
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &address.u_addr.ip4.addr, bytes.size());
    return IpAddr(bytes);
  }
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), address.u_addr.ip6.addr, bytes.size());
  return IpAddr(bytes);
}

}  // namespace hairpin::tcp
