#include "platform/neighbours.h"

#include <algorithm>
#include <cstring>

#include "platform/adapters_windows.h"
#include "platform/winsock_windows.h"

namespace hairpin::platform {

struct Neighbours::State {};

Neighbours::Neighbours(std::unique_ptr<State> state) : state_(std::move(state)) {}
Neighbours::Neighbours(Neighbours&&) noexcept = default;
Neighbours& Neighbours::operator=(Neighbours&&) noexcept = default;
Neighbours::~Neighbours() = default;

Result<Neighbours> Neighbours::open() {
  return Neighbours(std::make_unique<State>());
}

Result<std::optional<HardwareAddress>> Neighbours::find(const IpAddr& address) {
  MIB_IPNET_TABLE2* table = nullptr;
  const ULONG code = ::GetIpNetTable2(address.is_v4() ? AF_INET : AF_INET6, &table);
  if (code != NO_ERROR) return Error{"GetIpNetTable2", errno_of(code)};
  const std::unique_ptr<void, decltype(&::FreeMibTable)> owner(table, &::FreeMibTable);
  std::optional<HardwareAddress> found;
  for (const MIB_IPNET_ROW2& row : std::span(table->Table, table->NumEntries)) {
    sockaddr_storage stored{};
    std::memcpy(&stored, &row.Address, sizeof row.Address);
    HardwareAddress hardware{};
    if (Endpoint::from_sockaddr(stored).address != address) continue;
    if (row.PhysicalAddressLength != hardware.size()) continue;
    std::copy_n(row.PhysicalAddress, hardware.size(), hardware.begin());
    found = hardware;
  }
  return found;
}

}  // namespace hairpin::platform
