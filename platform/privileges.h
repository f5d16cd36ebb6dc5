// Giving up what the process needed only to start.
#pragma once

#include "base/result.h"

namespace hairpin::platform {

/// Takes CAP_SYS_ADMIN from the calling thread, and so from all that it starts later, for good: out
/// of the effective, permitted and inheritable sets, and out of the bounding set where that is
/// allowed (CAP_SETPCAP). Requires: called before other threads exist, which would keep theirs.
/// Not an error for whom does not have it.
Result<> drop_system_administration();

/// CAP_NET_ADMIN, CAP_SYS_ADMIN of the calling thread.
bool may_administer_network();
bool may_administer_system();

}  // namespace hairpin::platform
