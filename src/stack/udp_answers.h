// Builds the packets that bring answers of UDP remotes to the clients, and writes them to a
// device: the outer TUN, or a packet socket on the veth. The kernel is left what it does better:
// the sum, and the cutting of a burst into datagrams (USO).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "dispatch/udp_listener.h"
#include "flow/worker.h"
#include "nat/build.h"
#include "nat/virtio.h"
#include "stack/frames.h"

namespace hairpin::stack {

class UdpAnswers final : public dispatch::UdpReturn {
 public:
  static constexpr std::size_t kNoMtu = 65535;
  static constexpr std::size_t kEthernet = 14;  ///< Bytes of an Ethernet header.

  /// What a frame consists of beside the packet.
  struct Frame {
    bool vnet_header = false;
    bool segments = false;  ///< A frame may hold a burst. Needs the virtio header.
    std::optional<std::array<std::uint8_t, 6>> ethernet;  ///< Address of both ends.
    std::size_t mtu = kNoMtu;                             ///< Larger packets are fragmented here.
  };

  /// `writer` must outlive this. `own` are the addresses of this host behind the interface: packets
  /// to others may meet smaller MTUs on their way.
  UdpAnswers(Worker& worker, FrameWriter& writer, Frame frame, std::vector<IpAddr> own);

  void answer(const Endpoint& from, const Endpoint& to, const platform::Burst& burst) override;
  void refuse(const Endpoint& client, const Endpoint& to,
              std::span<const std::byte> payload) override;
  /// ICMP "unreachable" for a packet that was captured.
  void refuse(const nat::Packet& packet, nat::Refusal refusal);
  /// RST for a TCP packet that was captured.
  void reset(const nat::Packet& packet);

 private:
  void send_one(const Endpoint& from, const Endpoint& to, const platform::Burst& burst,
                std::size_t index);
  bool send_merged(const Endpoint& from, const Endpoint& to, const platform::Burst& burst);
  /// Puts the headers of a frame before `packet`, which must be free, and returns where it starts.
  std::span<std::byte> frame(std::span<std::byte> packet, nat::Coverage coverage,
                             std::size_t segment);
  void write(std::span<const std::byte> frame);
  /// The largest packet that may go to `client` in one piece.
  std::size_t limit_to(const IpAddr& client) const;

  Worker& worker_;
  FrameWriter& writer_;
  Frame frame_;
  std::vector<IpAddr> own_;
  std::uint32_t next_id_ = 0;  ///< Of packets that may be fragmented.
};

}  // namespace hairpin::stack
