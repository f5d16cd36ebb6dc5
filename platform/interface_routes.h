// Routes that lead to an interface, on systems where these are all there is to routing: no tables,
// no rules.
#pragma once

#include <string>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

/// One that is there already is no error, nor is one to be removed that is not there. They go with
/// the interface. Errors: ENODEV, EPERM or EACCES.
Result<> add_interface_route(const Prefix& destination, const std::string& interface);
Result<> remove_interface_route(const Prefix& destination, const std::string& interface);

/// The interface of the default route that this system prefers, that is up and not `own`. Empty:
/// there is none.
Result<std::string> find_uplink(const std::string& own);

}  // namespace hairpin::platform
