// Kernel parameters (sysctl(8)).
#pragma once

#include <string>

#include "base/result.h"

namespace hairpin::platform {

/// By name, "net.ipv4.ip_forward"; a slash stands for a dot in the name of an interface. Without
/// the newline.
Result<std::string> read_parameter(const std::string& name);
Result<> write_parameter(const std::string& name, const std::string& value);

}  // namespace hairpin::platform
