// This process, as the system sees it.
#pragma once

namespace hairpin::platform {

/// Processors that it may run on; at least 1.
unsigned processors();

/// Has what is written to a socket that is gone fail, instead of ending the process (SIGPIPE).
void ignore_broken_pipes();

}  // namespace hairpin::platform
