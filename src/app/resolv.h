// Which name servers a command in its own network namespace can use. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"

namespace hairpin::app {

/// The name servers of a resolv.conf(5).
std::vector<IpAddr> name_servers(std::string_view text);

/// `text` with its name servers replaced; everything else stays.
std::string with_name_servers(std::string_view text, const std::vector<IpAddr>& servers);

/// Name servers on loopback addresses (systemd-resolved's 127.0.0.53, dnsmasq) cannot be reached
/// from another namespace.
bool all_loopback(const std::vector<IpAddr>& servers);

}  // namespace hairpin::app
