#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/address.h"

namespace hairpin::dns {

using Hosts = std::map<std::string, std::vector<IpAddr>>;

/// Adds what a file as hosts(5) says; lines that say nothing are left out, and so is a file that
/// cannot be read, with a word in the log.
void read_hosts(const std::string& path, Hosts& hosts);

}  // namespace hairpin::dns
