// Network namespaces. Linux only; elsewhere every call answers ENOSYS.
//
// A namespace is a descriptor; a socket belongs to the one in which its thread was when it was
// opened, and stays there whoever uses it.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// Moves the calling thread into a new, empty network namespace of its own. Without CAP_SYS_ADMIN
/// it first makes a user namespace in which the caller keeps its user and group id; that needs a
/// process with one thread only.
Result<> enter_new_network_namespace();

/// The same, but EPERM where CAP_SYS_ADMIN is missing.
Result<> enter_private_network_namespace();

/// The network namespace of the calling thread.
Result<Fd> current_network_namespace();

/// A namespace by name: the path of a file that stands for it (/run/netns/NAME, /proc/PID/ns/net),
/// or the number of a process that is in it. Error code EINVAL when the file is no network
/// namespace.
Result<Fd> open_network_namespace(const std::string& path_or_pid);

bool same_network_namespace(const Fd& one, const Fd& other);

/// Moves the calling thread. Needs CAP_SYS_ADMIN here and over the namespace.
Result<> enter_network_namespace(const Fd& space);

/// Calls `work` on a thread of its own that is in `space` (an empty Fd: the caller's namespace), so
/// that whatever it enters, this thread stays where it is. An error when it cannot be entered, or
/// with the text of what `work` has thrown.
Result<> run_in_network_namespace(const Fd& space, const std::function<void()>& work);

/// Moves the calling thread into a mount namespace of its own in which `target` shows the content
/// of `source`. Requires: enter_new_network_namespace() was called, or CAP_SYS_ADMIN.
Result<> bind_mount_privately(const std::string& source, const std::string& target);

}  // namespace hairpin::platform
