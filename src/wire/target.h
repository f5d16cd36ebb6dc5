#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"

namespace hairpin {

/// Where a proxy is asked to connect: an address, or a name that the proxy resolves.
struct Target {
  std::string name;   ///< When not empty, the address below is not used.
  Endpoint endpoint;  ///< Its port counts in both cases.

  std::string text() const {
    return name.empty() ? endpoint.text() : name + ":" + std::to_string(endpoint.port);
  }
};

}  // namespace hairpin
