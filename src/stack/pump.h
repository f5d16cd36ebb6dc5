// The TUN link's port. Carries packets between one queue of the outer and one of the inner device:
// read, translate, write. All that is decided about a packet is decided by nat/; here is the one
// switch that acts.
//
// A read gives up to 64 KiB (the virtio header says how it is to be cut), so a busy flow costs one
// read and one write for some forty segments.
#pragma once

#include <optional>
#include <vector>

#include "base/asio.h"
#include "base/fd.h"
#include "dispatch/syn_gate.h"
#include "flow/worker.h"
#include "nat/translate.h"
#include "stack/link.h"
#include "stack/udp_answers.h"

namespace hairpin::stack {

class Pump final : public Port, private dispatch::SynPort {
 public:
  struct Device {
    Fd queue;   ///< Empty: there are fewer queues than workers, and others read them.
    Fd writer;  ///< Not empty.
  };
  struct Devices {
    Device outer;
    Device inner;
    bool vnet_header = false;   ///< Both devices have one.
    bool segments_udp = false;  ///< The outer device takes bursts in one packet.
  };

  /// The translator must outlive the pump.
  Pump(Worker& worker, const nat::Translator& translator, std::vector<IpAddr> addresses,
       Devices devices, Lost lost);

  void start() override;
  void stop() override;
  dispatch::UdpReturn& answers() override { return answers_; }
  dispatch::SynPort* syns() override { return this; }
  void hold_syns(dispatch::SynGate& gate) override { gate_ = &gate; }

 private:
  // A frame at the gate has been turned already.
  void let_in(std::span<std::byte> frame) override { write(inner_, frame); }
  void refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) override;

  /// The two directions have the same shape.
  struct Side {
    std::optional<Descriptor> queue;
    Fd writer;
    bool is_outer;
  };
  Side side_of(Device device, bool is_outer);
  void wait(Side& side);
  void drain(Side& side);
  void handle(Side& side, std::span<std::byte> frame);
  void write(const Side& side, std::span<const std::byte> frame);

  Worker& worker_;
  const nat::Translator& translator_;
  Side outer_;
  Side inner_;
  std::size_t header_;  ///< Bytes before each packet.
  UdpAnswers answers_;
  dispatch::SynGate* gate_ = nullptr;
  std::vector<std::byte> frame_;
  bool stopped_ = false;
  Lost lost_;
};

}  // namespace hairpin::stack
