// What is said to iphlpapi, by a double of its functions that writes it down. Windows itself is not
// asked.
#include "platform/adapter_network.h"

#include <gtest/gtest.h>

#include <cstring>

#include "platform/adapters_windows.h"

namespace hairpin::platform {
namespace {

constexpr std::uint64_t kLuid = 0x35000001000000;

std::string text(const SOCKADDR_INET& from) {
  sockaddr_storage stored{};
  std::memcpy(&stored, &from, sizeof from);
  return Endpoint::from_sockaddr(stored).address.text();
}

class IpHelperDouble final : public IpHelper {
 public:
  DWORD create_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) override {
    return said("add", row);
  }
  DWORD delete_unicast_address(const MIB_UNICASTIPADDRESS_ROW& row) override {
    return said("remove", row);
  }
  DWORD get_interface(MIB_IPINTERFACE_ROW& row) override {
    row.SitePrefixLength = 64;
    row.NlMtu = 1500;
    return answer;
  }
  DWORD set_interface(MIB_IPINTERFACE_ROW& row) override {
    EXPECT_EQ(row.SitePrefixLength, 0U);
    EXPECT_EQ(row.InterfaceLuid.Value, kLuid);
    told.push_back(std::string(row.Family == AF_INET ? "v4" : "v6") + " mtu " +
                   std::to_string(row.NlMtu) + " metric " +
                   (row.UseAutomaticMetric ? "automatic" : std::to_string(row.Metric)));
    return answer;
  }
  DWORD create_route(const MIB_IPFORWARD_ROW2& row) override { return said("route", row); }
  DWORD delete_route(const MIB_IPFORWARD_ROW2& row) override { return said("no route", row); }
  DWORD guid_of(std::uint64_t luid, GUID& guid) override {
    EXPECT_EQ(luid, kLuid);
    guid.Data1 = 7;
    return NO_ERROR;
  }
  DWORD luid_of(const std::wstring& alias, std::uint64_t& luid) override {
    luid = kLuid;
    return alias == L"hp0" ? NO_ERROR : ERROR_FILE_NOT_FOUND;
  }
  DWORD set_name_servers(const GUID& adapter, Family family, const std::wstring& servers) override {
    EXPECT_EQ(adapter.Data1, 7U);
    told.push_back(std::string(family == Family::v4 ? "v4" : "v6") + " dns " +
                   narrow(servers.c_str()));
    return answer;
  }

  std::vector<std::string> told;
  DWORD answer = NO_ERROR;

 private:
  DWORD said(const char* what, const MIB_UNICASTIPADDRESS_ROW& row) {
    EXPECT_EQ(row.InterfaceLuid.Value, kLuid);
    EXPECT_EQ(row.ValidLifetime, 0xffffffffU);
    EXPECT_EQ(row.DadState, IpDadStatePreferred);
    told.push_back(std::string(what) + " " + text(row.Address) + "/" +
                   std::to_string(row.OnLinkPrefixLength));
    return answer;
  }
  DWORD said(const char* what, const MIB_IPFORWARD_ROW2& row) {
    EXPECT_EQ(row.InterfaceLuid.Value, kLuid);
    EXPECT_EQ(row.NextHop.si_family, row.DestinationPrefix.Prefix.si_family);
    told.push_back(std::string(what) + " " + text(row.DestinationPrefix.Prefix) + "/" +
                   std::to_string(row.DestinationPrefix.PrefixLength) + " via " +
                   text(row.NextHop) + " metric " + std::to_string(row.Metric));
    return answer;
  }
};

Prefix prefix(const char* of) {
  return *Prefix::parse(of);
}

TEST(AdapterNetwork, SaysWhatIsMeant) {
  IpHelperDouble windows;
  AdapterNetwork network(windows, kLuid);
  EXPECT_TRUE(network.add_address(prefix("172.18.0.1/30")));
  EXPECT_TRUE(network.add_address(prefix("fdfe:dcba:9876::1/126")));
  EXPECT_TRUE(network.remove_address(prefix("172.18.0.1/30")));
  EXPECT_TRUE(network.configure(Family::v4, 65535, 0));
  EXPECT_TRUE(network.configure(Family::v6, 9000, std::nullopt));
  EXPECT_TRUE(network.add_route(prefix("0.0.0.0/1"), IpAddr::parse("172.18.0.2"), 0));
  EXPECT_TRUE(network.add_route(prefix("203.0.113.77/28"), std::nullopt, 5));
  EXPECT_TRUE(network.add_route(prefix("2001:db8:ffff::1/33"), std::nullopt, 1));
  EXPECT_TRUE(network.remove_route(prefix("::/0"), IpAddr::parse("fe80::1")));
  const std::vector<IpAddr> servers{*IpAddr::parse("172.18.0.2"), *IpAddr::parse("fdfe::2"),
                                    *IpAddr::parse("192.0.2.53")};
  EXPECT_TRUE(network.set_name_servers(Family::v4, servers));
  EXPECT_TRUE(network.set_name_servers(Family::v6, servers));
  EXPECT_TRUE(network.set_name_servers(Family::v6, {}));
  EXPECT_EQ(
      windows.told,
      (std::vector<std::string>{
          "add 172.18.0.1/30", "add fdfe:dcba:9876::1/126", "remove 172.18.0.1/30",
          "v4 mtu 65535 metric 0", "v6 mtu 9000 metric automatic",
          "route 0.0.0.0/1 via 172.18.0.2 metric 0", "route 203.0.113.64/28 via 0.0.0.0 metric 5",
          "route 2001:db8:8000::/33 via :: metric 1", "no route ::/0 via fe80::1 metric 0",
          "v4 dns 172.18.0.2,192.0.2.53", "v6 dns fdfe::2", "v6 dns "}));
}

TEST(AdapterNetwork, IsFoundByItsName) {
  IpHelperDouble windows;
  auto network = AdapterNetwork::of(windows, "hp0");
  ASSERT_TRUE(network) << network.error().text();
  EXPECT_TRUE(network->add_address(prefix("172.18.0.1/30")));
  EXPECT_EQ(windows.told, (std::vector<std::string>{"add 172.18.0.1/30"}));
  const auto other = AdapterNetwork::of(windows, "hp1");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ENODEV);
}

TEST(AdapterNetwork, WhatIsThereAlreadyIsNoErrorAndAllElseIs) {
  IpHelperDouble windows;
  AdapterNetwork network(windows, kLuid);
  windows.answer = ERROR_OBJECT_ALREADY_EXISTS;
  EXPECT_TRUE(network.add_address(prefix("172.18.0.1/30")));
  EXPECT_TRUE(network.add_route(prefix("0.0.0.0/0"), std::nullopt, 0));
  EXPECT_FALSE(network.set_name_servers(Family::v4, {}));
  windows.answer = ERROR_ACCESS_DENIED;
  const auto denied = network.add_address(prefix("172.18.0.1/30"));
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, EACCES);
  EXPECT_NE(denied.error().text().find("add address 172.18.0.1/30"), std::string::npos);
  EXPECT_FALSE(network.configure(Family::v4, 1500, 0)) << "what cannot be looked at is not set";
  windows.answer = 8899;
  EXPECT_EQ(network.add_route(prefix("10.0.0.0/8"), std::nullopt, 0).error().what,
            "add route 10.0.0.0/8 (Windows error 8899)");
}

/// These are asked under wine, too.
TEST(Adapters, ThisHostHasALoopbackAndNames) {
  const auto adapters = Adapters::list(0);
  ASSERT_TRUE(adapters) << adapters.error().text();
  ASSERT_NE(adapters->first(), nullptr);
}

}  // namespace
}  // namespace hairpin::platform
