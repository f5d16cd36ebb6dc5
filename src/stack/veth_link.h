// The veth link: a private network namespace that holds nothing but our listeners.
//
//   the interface's namespace            private namespace
//   -------------------------            ----------------------------------------------------------
//   application                          rule: whatever comes from the veth is delivered here
//        │ route                         nft: tproxy to the listeners, for any address and port
//        ▼                               route: default, back to the veth
//   interface ═══════ veth ═══════════► inner end      listeners, one packet socket per worker
//
// SYNs may have to wait for their outbounds: veth_port.h.
//
// Nothing is rewritten: the accepted socket's own name is the destination, its peer the client. And
// nothing can be in the way: no port of the host is taken, no reverse-path filter or firewall of
// the host sees anything but an interface with established traffic, no second entry is made in its
// connection tracking.
//
// Both ends of the veth have one hardware address and no ARP. A device without ARP sends to its own
// address, so each frame is addressed to the end where it arrives, whatever its IP destination.
//
// The namespace has no name and no process in it. It lives as long as a socket in it does; with the
// process, however it ends, go the namespace, the veth and so its routes, and the tables.
#pragma once

#include "stack/link.h"

namespace hairpin::stack {

/// Sets all of it up, or nothing of it; the calling thread is in the namespace where it was before.
/// After an error `refused` (may be null) tells whether the kernel or our rights do not allow such
/// a link here at all, so that a TUN link may do.
Result<Link> open_veth_link(const LinkOptions& options, bool* refused);

}  // namespace hairpin::stack
