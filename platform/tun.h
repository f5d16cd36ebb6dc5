// TUN devices as links use them. On Linux and macOS they are descriptors: each queue is one; a read
// gives one packet, a write takes one, each behind a nat::VnetHeader when the device was opened
// with one.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

class Wintun;  // wintun.h

struct TunOptions {
  std::string name;         ///< At most 15 characters; empty: the kernel picks "tun%d".
  unsigned queues = 1;      ///< More than one opens the device with IFF_MULTI_QUEUE.
  bool vnet_header = true;  ///< Ask for IFF_VNET_HDR and all offloads the kernel has.
  bool segment_udp = true;  ///< Ask for UDP segmentation too (Linux 6.2 and later).
};

/// Descriptors are non-blocking and close-on-exec.
///
/// The packets of one flow must be read from one queue only, or two threads overtake each other.
/// The kernel chooses the queue by a hash of the flow, which is steady; but it changes its mind to
/// the queue on which it last saw an answer *written* (tun_flow_update). A queue that is detached
/// (TUNSETQUEUE) is not read from and takes no part in that, but can be written to as before: where
/// there are several queues, all writes go to such a one.
struct Tun {
  std::string name;
  std::vector<Fd> queues;
  Fd writer;
  bool vnet_header = false;
  bool segments_tcp = false;  ///< Packets up to 64 KiB of several segments may be read.
  bool segments_udp = false;
  std::size_t room = 0;  ///< Bytes that wait in it at most; 0: it counts packets.
  /// Windows: the device, which is no descriptor there.
  std::shared_ptr<Wintun> ring = {};
};

/// Makes a new device in the network namespace of the calling thread. It goes when the last queue
/// is closed. Errors: ENOENT, EACCES (/dev/net/tun), EPERM (CAP_NET_ADMIN), EBUSY (the name is
/// taken).
Result<Tun> open_tun(const TunOptions& options);

/// Takes over a TUN that somebody else made. Checks that `fd` is one: IFF_TUN without packet
/// information, and of the name given (empty: any). Owns the descriptor only on success.
Result<Tun> adopt_tun(int fd, const std::string& name);

/// One frame of a queue. Error code EAGAIN: nothing waits.
Result<std::size_t> read_frame(int queue, std::span<std::byte> into);
/// One frame, of at most 66 pieces, to a writer or a packet socket. Error code EINVAL: the device
/// cannot do what its virtio header asks for.
Result<> write_frame(int writer, std::span<const std::span<const std::byte>> pieces);

/// Another descriptor for the same. Errors: EBADF.
Result<Fd> duplicate(int fd);

/// The descriptor handed over in HAIRPIN_TUN_FD, XRAY_TUN_FD or xray.tun.fd, the first that is set;
/// -1 when none is, and on Windows. An error when its value is no number of a descriptor beyond the
/// standard ones.
Result<int> tun_fd_from_environment();

}  // namespace hairpin::platform
