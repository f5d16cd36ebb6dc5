// TUN devices of macOS: a control socket of the kernel (PF_SYSTEM) is a utun interface as long as
// it is open.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

struct Utun {
  std::string name;  ///< The kernel's choice where it was not given: "utun7".
  Fd socket;         ///< Non-blocking. A packet each, framed as utun_frame.h says.
};

/// `name`: "utun" and a number, or empty. Error codes: EPERM (not root), EBUSY (it is taken).
Result<Utun> open_utun(const std::string& name);

/// Without the prefix. 0: it was no packet. Error code EAGAIN: nothing waits.
Result<std::size_t> read_packet(int utun, std::span<std::byte> into);
/// In at most 66 pieces, the first of which is not empty.
Result<> write_packet(int utun, std::span<const std::span<const std::byte>> pieces);

/// MTU, addresses, and up. A utun is point-to-point: of IPv4 the other end has the same address.
Result<> configure_utun(const std::string& name, const std::vector<Prefix>& addresses,
                        unsigned mtu);

}  // namespace hairpin::platform
