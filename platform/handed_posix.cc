#include <cstdlib>
#include <string>

#include "base/address.h"
#include "platform/tun.h"

namespace hairpin::platform {

Result<int> tun_fd_from_environment() {
  for (const char* variable : {"HAIRPIN_TUN_FD", "XRAY_TUN_FD", "xray.tun.fd"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const auto fd = parse_number(value, 1 << 20);
    if (!fd || *fd < 3) {
      return Error{std::string(variable) + "=" + value +
                   ": expected the number of an open descriptor, 3 or higher"};
    }
    return static_cast<int>(*fd);
  }
  return -1;
}

}  // namespace hairpin::platform
