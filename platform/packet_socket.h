// Sending ready-made packets out of one device.
#pragma once

#include <array>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// A raw packet socket on a device of the calling thread's namespace, non-blocking. A write takes
/// one frame: a nat::VnetHeader, the Ethernet header, the packet. Nothing is ever received. Errors:
/// EPERM (CAP_NET_RAW).
Result<Fd> open_packet_socket(IfIndex device);

/// Which SYNs a socket receives.
struct SynShare {
  std::array<std::uint8_t, 6> released;  ///< Not those with this Ethernet source.
  std::uint16_t mask = 0;                ///< Those whose source port, under `mask`, is `index`.
  std::uint16_t index = 0;
};

/// A packet socket on an Ethernet device that receives the TCP packets with SYN and without RST
/// that arrive there, in frames like the above. With index 0 it also receives IPv6 packets with
/// extension headers, whatever they are. The kernel's own stack gets all of them, too. Errors:
/// EPERM (CAP_NET_RAW).
Result<Fd> open_syn_socket(IfIndex device, const SynShare& share);

/// Frames that such a socket could not take, since the last call.
std::uint64_t take_lost_frames(int socket);

/// A socket that does nothing but report an error (ENETDOWN) when the device is gone.
Result<Fd> open_device_guard(IfIndex device);

}  // namespace hairpin::platform
