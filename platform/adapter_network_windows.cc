#include "platform/adapter_network.h"

#include <array>
#include <cstring>

#include "platform/adapters_windows.h"
#include "platform/winsock_windows.h"

namespace hairpin::platform {

namespace {

SOCKADDR_INET socket_address(const IpAddr& address) {
  sockaddr_storage stored{};
  (void)Endpoint{address, 0}.to_sockaddr(stored);
  SOCKADDR_INET out{};
  std::memcpy(&out, &stored, sizeof out);
  return out;
}

/// What remains of an address when the bits behind the prefix are cleared: a route is for a
/// network.
IpAddr network_of(const Prefix& prefix) {
  std::array<std::byte, 16> bytes{};
  const auto all = std::as_bytes(prefix.address.bytes());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const unsigned kept = prefix.length > 8 * i ? prefix.length - 8 * static_cast<unsigned>(i) : 0;
    const auto mask = static_cast<std::byte>(kept >= 8 ? 0xff : 0xff << (8 - kept) & 0xff);
    bytes[i] = all[i] & mask;
  }
  return IpAddr::from_wire(std::span(bytes).first(all.size()));
}

MIB_UNICASTIPADDRESS_ROW address_row(std::uint64_t luid, const Prefix& address) {
  MIB_UNICASTIPADDRESS_ROW row{};
  row.Address = socket_address(address.address);
  row.InterfaceLuid.Value = luid;
  row.PrefixOrigin = IpPrefixOriginManual;
  row.SuffixOrigin = IpSuffixOriginManual;
  row.ValidLifetime = row.PreferredLifetime = 0xffffffff;  // infinite
  row.OnLinkPrefixLength = static_cast<UINT8>(address.length);
  // Without a probe for others that have it: there is nobody on the link.
  row.DadState = IpDadStatePreferred;
  return row;
}

MIB_IPFORWARD_ROW2 route_row(std::uint64_t luid, const Prefix& destination,
                             const std::optional<IpAddr>& gateway, unsigned metric) {
  const IpAddr network = network_of(destination);
  MIB_IPFORWARD_ROW2 row{};
  row.InterfaceLuid.Value = luid;
  row.DestinationPrefix.Prefix = socket_address(network);
  row.DestinationPrefix.PrefixLength = static_cast<UINT8>(destination.length);
  row.NextHop = socket_address(gateway.value_or(everything(network.family()).address));
  row.ValidLifetime = row.PreferredLifetime = 0xffffffff;
  row.Metric = metric;
  row.Protocol = static_cast<NL_ROUTE_PROTOCOL>(MIB_IPPROTO_NETMGMT);
  return row;
}

Result<> done(DWORD code, const std::string& what, DWORD no_error = NO_ERROR) {
  if (code == NO_ERROR || code == no_error) return {};
  const int meaning = errno_of(code);
  const std::string number = meaning == EIO ? " (Windows error " + std::to_string(code) + ")" : "";
  return Error{what + number, meaning};
}

}  // namespace

Result<AdapterNetwork> AdapterNetwork::of(IpHelper& helper, const std::string& name) {
  std::uint64_t luid = 0;
  if (helper.luid_of(widen(name), luid) != NO_ERROR) return Error{"interface " + name, ENODEV};
  return AdapterNetwork(helper, luid);
}

Result<> AdapterNetwork::add_address(const Prefix& address) {
  const auto row = address_row(luid_, address);
  return done(helper_.create_unicast_address(row), "add address " + address.text(),
              ERROR_OBJECT_ALREADY_EXISTS);
}

Result<> AdapterNetwork::remove_address(const Prefix& address) {
  const auto row = address_row(luid_, address);
  return done(helper_.delete_unicast_address(row), "remove address " + address.text());
}

Result<> AdapterNetwork::configure(Family family, unsigned mtu, std::optional<unsigned> metric) {
  MIB_IPINTERFACE_ROW row{};
  row.Family = family == Family::v4 ? AF_INET : AF_INET6;
  row.InterfaceLuid.Value = luid_;
  auto found = done(helper_.get_interface(row), "look at the adapter");
  if (!found) return found;
  // What is read of IPv4 cannot be written: "must be set to 0", says SetIpInterfaceEntry.
  row.SitePrefixLength = 0;
  row.NlMtu = mtu;
  row.UseAutomaticMetric = metric ? FALSE : TRUE;
  if (metric) row.Metric = *metric;
  // Nobody else is on the link, who could have the address or tell a router.
  row.DadTransmits = 0;
  row.RouterDiscoveryBehavior = RouterDiscoveryDisabled;
  return done(helper_.set_interface(row), "set MTU and metric of the adapter");
}

Result<> AdapterNetwork::add_route(const Prefix& destination, const std::optional<IpAddr>& gateway,
                                   unsigned metric) {
  const auto row = route_row(luid_, destination, gateway, metric);
  return done(helper_.create_route(row), "add route " + destination.text(),
              ERROR_OBJECT_ALREADY_EXISTS);
}

Result<> AdapterNetwork::remove_route(const Prefix& destination,
                                      const std::optional<IpAddr>& gateway) {
  const auto row = route_row(luid_, destination, gateway, 0);
  return done(helper_.delete_route(row), "remove route " + destination.text());
}

Result<> AdapterNetwork::set_name_servers(Family family, const std::vector<IpAddr>& servers) {
  GUID guid{};
  auto known = done(helper_.guid_of(luid_, guid), "find the adapter's GUID");
  if (!known) return known;
  std::wstring list;
  for (const IpAddr& server : servers) {
    if (server.family() != family) continue;
    if (!list.empty()) list += L',';
    list += widen(server.text());
  }
  return done(helper_.set_name_servers(guid, family, list), "set the adapter's name servers");
}

}  // namespace hairpin::platform
