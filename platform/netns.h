// Network namespaces. Linux only; elsewhere every call answers ENOSYS.
#pragma once

#include <functional>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// Moves the calling thread into a new, empty network namespace of its own. Without CAP_SYS_ADMIN
/// it first makes a user namespace in which the caller keeps its user and group id; that needs a
/// process with one thread only.
Result<> enter_new_network_namespace();

/// Moves the calling thread into a mount namespace of its own in which `target` shows the content
/// of `source`. Requires: enter_new_network_namespace() was called, or CAP_SYS_ADMIN.
Result<> bind_mount_privately(const std::string& source, const std::string& target);

}  // namespace hairpin::platform
