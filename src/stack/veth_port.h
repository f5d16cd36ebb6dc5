// The veth link's port. The kernel carries all packets but two kinds, which a worker sees.
//
// Answers over UDP have the addresses of their remotes, and so cannot come from any socket of ours:
// they are written to a packet socket on the inner end.
//
// A SYN that is to wait for its outbound must not reach the listener. nftables drop all SYNs on the
// inner end but those in frames from one other Ethernet address, while a packet socket has a copy
// of each, which is taken before nftables are asked. To let one in, the copy is sent again, from
// the outer end and from that address:
//
//   outer end ════════════════════► inner end ─┬─► packet socket ─► gate ─┐
//       ▲                                      └─► nft: drop              │
//       └──────────── the same frame, from the other address ◄────────────┘
//                                   inner end ───► nft: tproxy ─► listener
//
// So no other packet of a flow is looked at, and no device, route or right is needed beyond what
// the link has.
#pragma once

#include "base/asio.h"
#include "stack/link.h"
#include "stack/tun_queue.h"
#include "stack/udp_answers.h"

namespace hairpin::stack {

/// The Ethernet address in frames with SYNs that are let in, for ends that have `address`.
platform::MacAddress released_address(platform::MacAddress address);

class VethPort final : public Port, private dispatch::SynPort {
 public:
  struct Wire {
    platform::MacAddress address;  ///< Of both ends.
    std::size_t mtu;               ///< Bytes.
  };
  struct Syns {
    Fd arriving;  ///< platform::open_syn_socket; empty: SYNs are not held.
    Fd release;   ///< A packet socket on the outer end.
  };
  /// `guard` tells when the veth is removed; empty where another worker watches.
  VethPort(Worker& worker, Fd packet_socket, Fd guard, const Wire& wire,
           std::vector<IpAddr> addresses, Syns syns, Lost lost);

  void start() override;
  void stop() override;
  dispatch::UdpReturn& answers() override { return answers_; }
  dispatch::SynPort* syns() override { return arriving_ ? this : nullptr; }
  void hold_syns(dispatch::SynGate& gate) override { gate_ = &gate; }

 private:
  void let_in(std::span<std::byte> frame) override;
  void refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) override;
  void watch_guard();
  void wait_syn();
  void drain_syns();
  void handle_syn(std::span<std::byte> frame);
  void count_lost();

  Worker& worker_;
  DescriptorWriter socket_;
  std::optional<Descriptor> guard_;
  UdpAnswers answers_;
  std::optional<Descriptor> arriving_;
  Fd release_;
  std::uint8_t released_;  ///< The last byte of that address: the others are the ends'.
  dispatch::SynGate* gate_ = nullptr;
  std::vector<std::byte> frame_;
  bool busy_ = false;  ///< A turn has been full, and so the queue may be.
  Lost lost_;
};

}  // namespace hairpin::stack
