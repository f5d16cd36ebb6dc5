// Descriptors as macOS makes them: without flags, which have to be set afterwards.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// A socket that does not wait, is not handed on to programs that are started, and raises no
/// signal.
Result<Fd> open_socket(int domain, int type, int protocol, const char* what);
/// The same for a socket that is there already.
Result<Fd> prepared(Fd fd);

}  // namespace hairpin::platform
