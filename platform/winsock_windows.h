// Errors of Windows as errno values, so that one meaning has one number on all systems.
#pragma once

#include <string>

#include "base/result.h"

namespace hairpin::platform {

/// EIO for what has no errno.
int errno_of(unsigned long windows_error);

/// Takes WSAGetLastError at once.
Error socket_error(std::string what);
/// Takes GetLastError at once.
Error windows_error(std::string what);

/// Winsock has to be started before its first use; as often as one likes.
void start_winsock();

}  // namespace hairpin::platform
