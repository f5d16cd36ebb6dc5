// Sending ready-made packets out of one device.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// A raw packet socket on a device of the calling thread's namespace, non-blocking. A write takes
/// one frame: a nat::VnetHeader, the Ethernet header, the packet. Nothing is ever received. Errors:
/// EPERM (CAP_NET_RAW).
Result<Fd> open_packet_socket(IfIndex device);

/// A socket that does nothing but report an error (ENETDOWN) when the device is gone.
Result<Fd> open_device_guard(IfIndex device);

}  // namespace hairpin::platform
