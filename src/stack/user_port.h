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
#include "stack/frames.h"
#include "stack/link.h"
#include "stack/reassembly.h"
#include "stack/udp_answers.h"
#include "stack/udp_input.h"
#include "stack/user_stack.h"

namespace hairpin::stack {

class UserPort final : public Port, private dispatch::SynPort, private FrameReader {
 public:
  /// Takes the worker's queue out of the device: who has it has the stack.
  UserPort(Worker& worker, Place place, std::vector<IpAddr> addresses, UserParts& parts, Lost lost);

  void start() override;
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
  std::unique_ptr<FrameWriter> writer_;
  std::size_t header_;  ///< Bytes before each packet.
  UdpAnswers answers_;
  UdpInput datagrams_;
  Reassembly fragments_{Worker::kHeadroom};
  std::optional<UserStack> stack_;
  tcp::Block block_;
  std::unique_ptr<FrameSource> source_;  ///< Null: another worker reads.
  dispatch::SynGate* gate_ = nullptr;
  Lost lost_;
};

}  // namespace hairpin::stack
