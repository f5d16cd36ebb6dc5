#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"

namespace hairpin {

/// Where an outbound is asked to connect: an address, a name that whoever connects resolves, or
/// both.
struct Target {
  std::string name;   ///< A proxy is told this, where it is not empty.
  Endpoint endpoint;  ///< Without a name its address is valid; its port counts in both cases.

  bool has_address() const { return name.empty() || !endpoint.address.is_unspecified(); }
  std::string text() const {
    return name.empty() ? endpoint.text() : name + ":" + std::to_string(endpoint.port);
  }
};

}  // namespace hairpin
