// A mirror is a second address L with the same one's-complement sum as an address C of this host.
//
// Why it is needed: the swap turns C:s → D:d into D:s → C:d. When C is an address of this host and
// s = d, the turned packet has just the names of an *answer* to the client's socket, and the kernel
// would hand it to the client itself. With C replaced by L on the way in, and L by C on the way
// out, the two flows have different names. As sum(L) = sum(C), no checksum changes (see
// checksum.h).
//
// L is never seen outside: it stands only between the inner device and our listener.
#pragma once

#include "base/address.h"

namespace hairpin::nat {

struct Mirror {
  IpAddr address;  ///< C
  IpAddr mirror;   ///< L
};

/// IPv4: an address of 169.254.0.0/16 (of 198.18.0.0/15 where C is link-local itself).
/// IPv6: C with its last two 16-bit words moved by one against each other, in the same /96.
Mirror mirror_of(const IpAddr& address);

}  // namespace hairpin::nat
