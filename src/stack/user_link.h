// The userspace link: one TUN, and nothing else. Packets that applications send there end in this
// process, so neither listeners, firewall nor routing rules are needed: a process that is handed a
// TUN needs no rights at all.
#pragma once

#include "stack/link.h"

namespace hairpin::stack {

/// Sets it up in the network namespace of the calling thread.
Result<Link> open_user_link(const LinkOptions& options);

/// Has the kernel refuse what our own outbound sockets send to the link, so that nothing goes in
/// circles, where it can. Requires: options.own_mark.
Result<> refuse_own(Link& link, const LinkOptions& options);

}  // namespace hairpin::stack
