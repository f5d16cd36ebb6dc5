// iphlpapi as hairpin_double.exe has it: what is said to it is written to the file
// HAIRPIN_DOUBLE_LOG, a line for each call. It takes the place of ip_helper_windows.cc.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "platform/adapter_network.h"
#include "platform/adapters_windows.h"

namespace hairpin::platform {

namespace {

std::string text(const SOCKADDR_INET& from) {
  sockaddr_storage stored{};
  std::memcpy(&stored, &from, sizeof from);
  return Endpoint::from_sockaddr(stored).address.text();
}

class Double final : public IpHelper {
 public:
  DWORD create_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) override {
    return tell("add " + text(row.Address) + "/" + std::to_string(row.OnLinkPrefixLength));
  }
  DWORD delete_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) override {
    return tell("remove " + text(row.Address));
  }
  DWORD get_interface(MIB_IPINTERFACE_ROW& /*row*/) override { return NO_ERROR; }
  DWORD set_interface(MIB_IPINTERFACE_ROW& row) override {
    return tell(std::string(row.Family == AF_INET ? "v4" : "v6") + " mtu " +
                std::to_string(row.NlMtu));
  }
  DWORD create_route(const MIB_IPFORWARD_ROW2& row) override { return route("route", row); }
  DWORD delete_route(const MIB_IPFORWARD_ROW2& row) override { return route("no route", row); }
  DWORD set_name_servers(const GUID& /*adapter*/, Family /*family*/,
                         const std::wstring& servers) override {
    return tell("dns " + narrow(servers.c_str()));
  }
  DWORD guid_of(std::uint64_t /*luid*/, GUID& /*guid*/) override { return NO_ERROR; }
  DWORD luid_of(const std::wstring& alias, std::uint64_t& luid) override {
    luid = 0x35000000000000;  // the double's adapter
    return alias == L"hp0" ? NO_ERROR : ERROR_FILE_NOT_FOUND;
  }

 private:
  static DWORD route(const char* what, const MIB_IPFORWARD_ROW2& row) {
    return tell(std::string(what) + " " + text(row.DestinationPrefix.Prefix) + "/" +
                std::to_string(row.DestinationPrefix.PrefixLength));
  }
  static DWORD tell(const std::string& line) {
    std::ofstream log(std::getenv("HAIRPIN_DOUBLE_LOG"), std::ios::app | std::ios::binary);
    log << line << '\n';
    return NO_ERROR;
  }
};

}  // namespace

IpHelper& system_ip_helper() {
  static Double helper;
  return helper;
}

}  // namespace hairpin::platform
