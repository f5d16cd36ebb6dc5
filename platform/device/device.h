// A TUN or TAP device of this process: made, handed over or cloned; read and written packet by
// packet or in batches; configured. It goes when its last queue is closed, unless it is persistent.
//
// Packets are the same on all systems: bare IP packets or Ethernet frames. With offload a packet
// may have up to 64 KiB and something left undone, which its nat::VnetHeader says; read_batch and
// write_batch cut such packets and put them together, so that the caller sees the wire's.
//
// Any number of threads may use one device at once. Each error says which call failed and with
// which errno; ENOTSUP: this system has no such thing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/strong.h"
#include "nat/virtio.h"
#include "platform/device/batch.h"
#include "platform/device/framing.h"
#include "platform/device/interface.h"
#include "platform/device/wait.h"

namespace hairpin::device {

struct DeviceOptions {
  std::string name = {};  ///< Empty: the system chooses. Linux: at most 15 characters.
  Layer layer = Layer::ip;
  /// Ask for virtio headers and all offloads that the system has.
  bool offload = false;
  bool offload_udp = true;   ///< Segmentation of UDP too (Linux 6.2 and later).
  bool multi_queue = false;  ///< `clone` shall be possible.
  /// Take a persistent device of this name and kind, if there is one. Otherwise a name that is
  /// taken is an error (EBUSY).
  bool reuse = false;
  bool persistent = false;  ///< It outlives this process.
  /// Who may open it when it is persistent, beside root.
  std::optional<std::uint32_t> owner = {};
  std::optional<std::uint32_t> group = {};

  std::optional<HardwareAddress> hardware_address = {};  ///< TAP. Empty: one at random.
  std::optional<unsigned> mtu = {};
  std::optional<unsigned> queue_length = {};
  std::vector<InterfaceAddress> addresses = {};
  /// Let the kernel add IPv6 link-local addresses. Empty: on a TAP, where neighbours need them.
  std::optional<bool> generated_addresses = {};
  bool up = true;
};

struct AdoptOptions {
  std::string name = {};  ///< What the device must be called; empty: anything.
  /// What stands before its packets. Empty: what the system says. A descriptor of which the system
  /// knows nothing is taken only where this is given: it is somebody's who hands whole packets over
  /// a socket, as iOS does.
  std::optional<Framing> framing = {};
  Layer layer = Layer::ip;  ///< Of a descriptor of which the system knows nothing.
};

class Device {
 public:
  /// Makes a device in the network namespace of the calling thread. Errors: ENOENT, EACCES
  /// (/dev/net/tun), EPERM (CAP_NET_ADMIN), EBUSY (the name is taken).
  static Result<Device> open(const DeviceOptions& options);

  /// Takes over what somebody else made, and leaves its settings alone. Owns the descriptor only on
  /// success; makes it non-blocking and close-on-exec.
  static Result<Device> adopt(int descriptor, const AdoptOptions& options = {});

  /// One more queue of the same device, with a shutdown of its own. The system spreads flows over
  /// the queues. Requires: multi_queue.
  Result<Device> clone() const;

  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  ~Device();

  // ---- packets
  // -----------------------------------------------------------------------------------

  /// Reads one packet and returns its size. Errors: EMSGSIZE (it was longer than the buffer, and is
  /// lost), EAGAIN, ETIMEDOUT, EINTR (see Wait), ESHUTDOWN. Of a device with offload: EINVAL.
  Result<std::size_t> read(std::span<std::byte> packet, const Wait& wait = {});
  /// The same where there may be offload: the packet is as `header` says.
  Result<std::size_t> read(std::span<std::byte> packet, nat::VnetHeader& header,
                           const Wait& wait = {});
  /// The same into several parts, which are filled in their order. At most 256.
  Result<std::size_t> read(std::span<const std::span<std::byte>> parts, nat::VnetHeader& header,
                           const Wait& wait = {});

  /// Writes one packet, whole or not at all. EINVAL: it is none. EIO: the interface is down.
  Result<> write(std::span<const std::byte> packet, const Wait& wait = {});
  /// The same with something left undone. Without offload: ENOTSUP, unless `header` asks for
  /// nothing.
  Result<> write(std::span<const std::byte> packet, const nat::VnetHeader& header,
                 const Wait& wait = {});
  /// The same from several parts. At most 256.
  Result<> write(std::span<const std::span<const std::byte>> parts, const nat::VnetHeader& header,
                 const Wait& wait = {});

  /// Waits for a packet, then reads on until there is none, or the batch is full. Returns how many
  /// there are in the batch, at least one. With offload packets are cut to what a wire carries, and
  /// their checksums are complete.
  Result<std::size_t> read_batch(Batch& batch, const Wait& wait = {});
  /// Writes packets with complete checksums; with offload those that follow each other are put
  /// together. Returns how many the device has taken, at least one: otherwise the error of the
  /// first.
  Result<std::size_t> write_batch(std::span<const std::span<const std::byte>> packets,
                                  const Wait& wait = {});

  /// Ends all reads and writes of this queue, those that wait and those to come, with ESHUTDOWN.
  void shutdown();
  bool is_shut_down() const;

  /// Linux's packet information (16 bits of flags, the EtherType) before each packet, on every
  /// system: read and given with the packet. Off at first. ENOTSUP: the device has offload.
  Result<> set_packet_information(bool shown);
  bool packet_information() const;

  // ---- what it is
  // --------------------------------------------------------------------------------

  Layer layer() const;
  Framing framing() const;    ///< What stands before packets on the descriptor.
  bool has_offload() const;   ///< Packets have virtio headers.
  bool segments_tcp() const;  ///< TCP packets of up to 64 KiB pass.
  bool segments_udp() const;
  bool is_multi_queue() const;

  /// Name and number now: others may have renamed it.
  Result<std::string> name() const;
  Result<IfIndex> index() const;

  // ---- settings, see interface.h
  // -----------------------------------------------------------------

  Result<InterfaceState> state() const;
  Result<> change(const InterfaceChange& change) const;
  Result<std::vector<InterfaceAddress>> addresses() const;
  Result<> add_address(const InterfaceAddress& address) const;
  Result<> remove_address(const IpAddr& address) const;
  Result<> set_addresses(const std::vector<InterfaceAddress>& addresses) const;
  Result<> set_broadcast(const IpAddr& address, const IpAddr& broadcast) const;

  Result<> set_persistent(bool persistent) const;
  Result<> set_owner(std::uint32_t user) const;
  Result<> set_group(std::uint32_t group) const;
  /// A queue that is not attached is not read from, and has no part in how flows are spread, but
  /// can be written to.
  Result<> set_attached(bool attached) const;

  // ---- for those who wait or read by themselves
  // --------------------------------------------------

  /// The descriptor, non-blocking; -1 where there is none.
  int descriptor() const;
  /// The same, and it is the caller's now: this object can only be destroyed.
  int release();

 private:
  struct Impl;
  explicit Device(std::unique_ptr<Impl> impl);
  std::size_t link_size(std::span<const std::byte> packet) const;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hairpin::device
