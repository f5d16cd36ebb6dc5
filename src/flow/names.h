// Who knows addresses of names, beside the system.
#pragma once

#include <string>

#include "base/asio.h"
#include "config/config.h"
#include "flow/resolver.h"

namespace hairpin {

/// For one thread.
class Names {
 public:
  virtual ~Names() = default;
  /// In the order in which they are to be tried; at least one. An empty `resolver.server`: whoever
  /// the rules say. The arguments live until then.
  virtual Task<Addresses> lookup(const std::string& name, const config::DomainResolver& resolver,
                                 Clock::duration patience) = 0;
};

}  // namespace hairpin
