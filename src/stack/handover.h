// A link from one process to another, over a UNIX socket: `exec` builds it in a child that has
// entered the new network namespace, and serves it from the parent, which has not.
#pragma once

#include "stack/link.h"

namespace hairpin::stack {

/// Sends all descriptors and what belongs to them, or the error instead.
Result<> send_link(int socket, const Result<Link>& link);
/// Receives what `send_link` sent. The other side's error comes back as the error of this call.
Result<Link> receive_link(int socket);

}  // namespace hairpin::stack
