// The TUN link's port. Carries packets between one queue of the outer and one of the inner device:
// read, translate, write. All that is decided about a packet is decided by nat/; here is the one
// switch that acts.
//
// With `stack: mixed` datagrams do not get that far: they are taken out of their packets.
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
#include "stack/reassembly.h"
#include "stack/tun_queue.h"
#include "stack/udp_answers.h"
#include "stack/udp_input.h"

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

  /// The translator must outlive the pump. With seats datagrams are taken out here, and do not go
  /// to the inner device.
  Pump(Worker& worker, const nat::Translator& translator, Place place,
       std::vector<IpAddr> addresses, Devices devices, Lost lost);

  void start() override;
  void stop() override;
  dispatch::UdpReturn& answers() override { return answers_; }
  dispatch::SynPort* syns() override { return this; }
  void hold_syns(dispatch::SynGate& gate) override { gate_ = &gate; }
  void take_seat(dispatch::UdpAssociations& associations, dispatch::Admission& admission) override;

 private:
  // A frame at the gate has been turned already.
  void let_in(std::span<std::byte> frame) override { write(inner_, frame); }
  void refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) override;

  /// The two directions have the same shape.
  struct Side final : FrameReader {
    Side(Pump& owner, Device device, bool outer)
        : pump(owner),
          queue(owner.worker_, std::move(device.queue), *this),
          writer(std::move(device.writer)),
          is_outer(outer) {}
    std::span<std::byte> room() override { return pump.room(); }
    void frame(std::span<std::byte> frame) override { pump.handle(*this, frame); }
    void turn_ended() override { pump.turn_ended(); }
    void lost() override { pump.lost_(); }

    Pump& pump;
    TunQueue queue;
    DescriptorWriter writer;
    bool is_outer;
  };
  std::span<std::byte> room();
  void handle(Side& side, std::span<std::byte> frame);
  void turn_ended();
  void write(Side& side, std::span<const std::byte> frame);
  void take_datagram(const nat::Packet& packet, std::span<std::byte> frame);

  Worker& worker_;
  Place place_;
  const nat::Translator& translator_;
  Side outer_;
  Side inner_;
  std::size_t header_;  ///< Bytes before each packet.
  UdpAnswers answers_;
  dispatch::SynGate* gate_ = nullptr;
  std::vector<std::byte> frame_;  ///< Behind headroom.
  // `mixed`:
  std::optional<UdpInput> datagrams_;
  Reassembly fragments_{Worker::kHeadroom};
  Lost lost_;
};

}  // namespace hairpin::stack
