// The port of a link without the kernel's stack: one TUN, whose TCP ends in lwIP and whose
// datagrams are taken out of their packets. What becomes of a packet is decided by nat/, as on any
// link.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "dispatch/syn_gate.h"
#include "flow/worker.h"
#include "nat/translate.h"
#include "stack/link.h"
#include "stack/reassembly.h"
#include "stack/tun_queue.h"
#include "stack/udp_answers.h"
#include "stack/udp_input.h"
#include "stack/user_stack.h"

namespace hairpin::stack {

class UserPort final : public Port, private dispatch::SynPort, private TunQueue::Reader {
 public:
  struct Device {
    Fd queue;   ///< Empty: another worker reads, and has the stack.
    Fd writer;  ///< Not empty.
    bool vnet_header = false;
    bool segments_udp = false;
    unsigned mtu = 0;              ///< Bytes.
    unsigned length = 0;           ///< Packets in its queue.
    std::size_t memory_limit = 0;  ///< Bytes; 0: none.
  };

  UserPort(Worker& worker, Place place, std::vector<IpAddr> addresses, Device device, Lost lost);

  void start() override { queue_.start(); }
  void stop() override;
  dispatch::UdpReturn& answers() override { return answers_; }
  dispatch::SynPort* syns() override { return stack_ ? this : nullptr; }
  void hold_syns(dispatch::SynGate& gate) override { gate_ = &gate; }
  void take_seat(dispatch::UdpAssociations& associations, dispatch::Admission& admission) override;

 private:
  std::span<std::byte> room() override;
  void frame(std::span<std::byte> frame) override;
  void turn_ended() override;
  void lost() override { lost_(); }

  void let_in(std::span<std::byte> frame) override;
  void refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) override;
  void take_tcp(const nat::Packet& packet, std::span<std::byte> frame);
  void take_fragment(const nat::Packet& packet);

  Worker& worker_;
  Place place_;
  Fd writer_;
  std::size_t header_;  ///< Bytes before each packet.
  UdpAnswers answers_;
  UdpInput datagrams_;
  Reassembly fragments_{Worker::kHeadroom};
  std::optional<UserStack> stack_;
  tcp::Block block_;
  TunQueue queue_;
  dispatch::SynGate* gate_ = nullptr;
  Lost lost_;
};

}  // namespace hairpin::stack
