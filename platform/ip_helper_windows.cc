#include "platform/adapter_network.h"

namespace hairpin::platform {

namespace {

class SystemIpHelper final : public IpHelper {
 public:
  DWORD create_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) override {
    return ::CreateUnicastIpAddressEntry(&row);
  }
  DWORD delete_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) override {
    return ::DeleteUnicastIpAddressEntry(&row);
  }
  DWORD get_interface(MIB_IPINTERFACE_ROW& row) override { return ::GetIpInterfaceEntry(&row); }
  DWORD set_interface(MIB_IPINTERFACE_ROW& row) override { return ::SetIpInterfaceEntry(&row); }
  DWORD create_route(const MIB_IPFORWARD_ROW2& row) override {
    return ::CreateIpForwardEntry2(&row);
  }
  DWORD delete_route(const MIB_IPFORWARD_ROW2& row) override {
    return ::DeleteIpForwardEntry2(&row);
  }
  DWORD guid_of(std::uint64_t luid, GUID& guid) override {
    NET_LUID value{};
    value.Value = luid;
    return ::ConvertInterfaceLuidToGuid(&value, &guid);
  }
  DWORD luid_of(const std::wstring& alias, std::uint64_t& luid) override {
    NET_LUID value{};
    const DWORD code = ::ConvertInterfaceAliasToLuid(alias.c_str(), &value);
    luid = value.Value;
    return code;
  }
  DWORD set_name_servers(const GUID& adapter, Family family, const std::wstring& servers) override {
    // DNS_INTERFACE_SETTINGS, version 1; younger than mingw's headers.
    struct Settings {
      ULONG version;
      ULONG64 flags;
      PWSTR domain;
      PWSTR name_server;
      PWSTR search_list;
      ULONG registration_enabled;
      ULONG register_adapter_name;
      ULONG enable_llmnr;
      ULONG query_adapter_name;
      PWSTR profile_name_server;
    };
    constexpr ULONG64 kIpv6 = 0x0001;
    constexpr ULONG64 kNameServer = 0x0002;
    using Function = DWORD(WINAPI*)(GUID, const Settings*);
    const FARPROC found =
        ::GetProcAddress(::GetModuleHandleW(L"iphlpapi.dll"), "SetInterfaceDnsSettings");
    if (found == nullptr) return ERROR_PROC_NOT_FOUND;
    std::wstring text = servers;
    Settings settings{};
    settings.version = 1;
    settings.flags = kNameServer | (family == Family::v6 ? kIpv6 : 0);
    settings.name_server = text.data();
    return reinterpret_cast<Function>(reinterpret_cast<void*>(found))(adapter, &settings);
  }
};

}  // namespace

IpHelper& system_ip_helper() {
  static SystemIpHelper helper;
  return helper;
}

}  // namespace hairpin::platform
