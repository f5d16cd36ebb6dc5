// What reader and writer of binary rule-sets (binary.h) both know of the format.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace hairpin::rule {

inline constexpr std::string_view kMagic = "SRS";
inline constexpr const char* kIcmp = "icmp";

/// What stands before each condition.
enum Item : std::uint8_t {
  kQueryType,
  kNetwork,
  kDomain,
  kDomainKeyword,
  kDomainRegex,
  kSourceIpCidr,
  kIpCidr,
  kSourcePort,
  kSourcePortRange,
  kPort,
  kPortRange,
  kProcessName,
  kProcessPath,
  kPackageName,
  kWifiSsid,
  kWifiBssid,
  kAdguardDomain,
  kProcessPathRegex,
  kNetworkType,
  kNetworkIsExpensive,
  kNetworkIsConstrained,
  kNetworkInterfaceAddress,
  kDefaultInterfaceAddress,
  kPackageNameRegex,
  kEnd = 0xff,
};

inline constexpr std::array<std::string_view, 4> kNetworkTypes{"wifi", "cellular", "ethernet",
                                                               "other"};

/// Items that are a list of texts, or nothing, and that no flow here can fulfil.
struct ForeignItem {
  Item item;
  std::string_view field;
  bool texts;            ///< Otherwise it is there or not.
  std::uint8_t version;  ///< That it appeared in.
};
inline constexpr std::array<ForeignItem, 6> kForeignItems{{
    {kPackageName, "package_name", true, 1},
    {kWifiSsid, "wifi_ssid", true, 1},
    {kWifiBssid, "wifi_bssid", true, 1},
    {kNetworkIsExpensive, "network_is_expensive", false, 3},
    {kNetworkIsConstrained, "network_is_constrained", false, 3},
    {kPackageNameRegex, "package_name_regex", true, 5},
}};

/// An Error can be made from a text, too: which of them is meant has to be said.
inline Result<std::string> text_result(std::string text) {
  return {boost::system::in_place_value, std::move(text)};
}

}  // namespace hairpin::rule
