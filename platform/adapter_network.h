// What an adapter has in the network of Windows: addresses, MTU, metric, name servers, routes. All
// of it goes with the adapter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

/// The functions of iphlpapi.dll that are used here, so that others can stand in their place. Each
/// returns what Windows' function of that name returns.
class IpHelper {
 public:
  virtual ~IpHelper() = default;
  virtual DWORD create_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) = 0;
  virtual DWORD delete_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) = 0;
  virtual DWORD get_interface(MIB_IPINTERFACE_ROW& row) = 0;
  virtual DWORD set_interface(MIB_IPINTERFACE_ROW& row) = 0;
  virtual DWORD create_route(const MIB_IPFORWARD_ROW2& row) = 0;
  virtual DWORD delete_route(const MIB_IPFORWARD_ROW2& row) = 0;
  /// SetInterfaceDnsSettings of Windows 10 and later, with a list of servers divided by commas.
  virtual DWORD set_name_servers(const GUID& adapter, Family family,
                                 const std::wstring& servers) = 0;
  virtual DWORD guid_of(std::uint64_t luid, GUID& guid) = 0;
  /// ConvertInterfaceAliasToLuid
  virtual DWORD luid_of(const std::wstring& alias, std::uint64_t& luid) = 0;
};

/// Windows itself.
IpHelper& system_ip_helper();

class AdapterNetwork {
 public:
  /// By the name that people see. Error code ENODEV: there is none.
  static Result<AdapterNetwork> of(IpHelper& helper, const std::string& name);
  /// `luid`: NET_LUID of the adapter. `helper` must outlive this.
  AdapterNetwork(IpHelper& helper, std::uint64_t luid) : helper_(helper), luid_(luid) {}

  /// An address with the length of its network, which Windows makes a route for. One that is there
  /// already is no error.
  Result<> add_address(const Prefix& address);
  Result<> remove_address(const Prefix& address);
  /// `mtu`: bytes. `metric`: of all routes over the adapter, low is first; empty: Windows chooses.
  Result<> configure(Family family, unsigned mtu, std::optional<unsigned> metric);
  /// `gateway` empty: the destination is on the link. One that is there already is no error.
  Result<> add_route(const Prefix& destination, const std::optional<IpAddr>& gateway,
                     unsigned metric);
  Result<> remove_route(const Prefix& destination, const std::optional<IpAddr>& gateway);
  /// Empty: it has none of this family.
  Result<> set_name_servers(Family family, const std::vector<IpAddr>& servers);

 private:
  IpHelper& helper_;
  std::uint64_t luid_;
};

}  // namespace hairpin::platform
