// What a plan depends on, asked of the host.
#pragma once

#include "host/plan.h"

namespace hairpin::host {

/// Of the network namespace of the calling thread. A control group that is named and does not exist
/// is an error.
Result<Snapshot> take_snapshot(const Policy& policy);

}  // namespace hairpin::host
