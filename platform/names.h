// What the system's own resolver knows, and where it asks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

/// The addresses of a host, in the system's order of preference; at least one. Waits for it.
Result<std::vector<IpAddr>> look_up(const std::string& host);

/// What names of hosts have been resolved to.
using Names = std::map<std::string, std::vector<IpAddr>>;

/// The name servers of the system, in the order in which they are to be asked. Where the only one
/// is a stub on this host that is known to tell whom it asks itself (systemd-resolved), those.
std::vector<IpAddr> name_servers();
/// Changes when the name servers do, or the file of hosts. Cheap.
std::string name_server_stamp();
/// Where the name servers stand, for a person.
const char* name_server_place();
/// hosts(5)
std::string hosts_file();

}  // namespace hairpin::platform
