// The header that a TUN device with IFF_VNET_HDR puts before each packet (virtio 1.2, 5.1.6.1;
// linux/virtio_net.h). It carries what the kernel has left undone: the checksum, the cutting into
// segments. The translator passes it on untouched, which is why one read can move 64 KiB.
#pragma once

#include <cstdint>

#include "nat/checksum.h"
#include "nat/wire.h"

namespace hairpin::nat {

struct VnetHeader {
  enum Flag : std::uint8_t { kNeedsChecksum = 1, kDataValid = 2 };
  enum Gso : std::uint8_t { kGsoNone = 0, kGsoTcp4 = 1, kGsoUdp = 3, kGsoTcp6 = 4, kGsoUdpL4 = 5 };

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;
  host16 header_length;    ///< Bytes up to the payload of a segment; a hint.
  host16 gso_size;         ///< Payload bytes of each segment.
  host16 checksum_start;   ///< Where summing begins, from the IP header on.
  host16 checksum_offset;  ///< Where the sum is put, from checksum_start on.
};
static_assert(sizeof(VnetHeader) == 10 && alignof(VnetHeader) == 1);

/// Of the packet behind it. Null: there is no header.
inline Coverage coverage_of(const VnetHeader* header) {
  const bool pending = header != nullptr && (header->flags & VnetHeader::kNeedsChecksum) != 0;
  return pending ? Coverage::pseudo_only : Coverage::complete;
}

}  // namespace hairpin::nat
