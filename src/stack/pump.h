// Carries packets between one queue of the outer and one of the inner device: read, translate,
// write. All that is decided about a packet is decided by nat/; here is the one switch that acts.
//
// A read gives up to 64 KiB (the virtio header says how it is to be cut), so a busy flow costs one
// read and one write for some forty segments.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/asio.h"
#include "base/fd.h"
#include "dispatch/udp_listener.h"
#include "flow/worker.h"
#include "nat/checksum.h"
#include "nat/translate.h"
#include "nat/virtio.h"

namespace hairpin::stack {

class Pump final : public dispatch::UdpReturn {
 public:
  /// Called on the worker's thread when a device is gone: somebody has removed it.
  using Lost = std::function<void()>;

  /// `vnet_header`: both devices have one. The translator must outlive the pump.
  Pump(Worker& worker, const nat::Translator& translator, Fd outer, Fd inner, bool vnet_header,
       Lost lost);

  void start();
  void stop();

  void answer(const Endpoint& from, const Endpoint& to, std::span<std::byte> buffer,
              std::size_t offset, std::size_t size) override;
  void refuse(const Endpoint& client, const Endpoint& to,
              std::span<const std::byte> payload) override;

 private:
  /// The two directions have the same shape.
  struct Side {
    Descriptor device;
    bool is_outer;
  };
  void wait(Side& side);
  void drain(Side& side);
  void handle(Side& side, std::span<std::byte> frame);
  void write(Descriptor& device, std::span<const std::byte> frame);
  /// Writes a packet of our own making to the outer device. The bytes of a virtio header before
  /// `packet` must be free.
  void write_built(std::span<std::byte> packet, nat::Coverage coverage);
  bool is_own(const IpAddr& address) const;

  Worker& worker_;
  const nat::Translator& translator_;
  Side outer_;
  Side inner_;
  std::size_t header_;  ///< Bytes before each packet.
  std::vector<std::byte> frame_;
  std::uint32_t next_id_ = 0;  ///< Of packets that may be fragmented.
  bool stopped_ = false;
  Lost lost_;
};

}  // namespace hairpin::stack
