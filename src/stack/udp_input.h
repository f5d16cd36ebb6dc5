// Takes datagrams out of packets, for links that leave UDP to user space, and brings them to the
// worker that has their client's association: to itself at once, to others in a copy, a turn's at a
// time.
#pragma once

#include <memory>
#include <vector>

#include "flow/flow.h"
#include "flow/worker.h"
#include "nat/packet.h"
#include "nat/virtio.h"
#include "platform/sockets.h"
#include "stack/seats.h"

namespace hairpin::stack {

/// Whether the sum of a TCP or UDP packet is right, or is known to be: `header` is what came with
/// it from the device. Counts those that are not.
bool has_right_sum(Worker& worker, const nat::Packet& packet, const nat::VnetHeader* header);

class UdpInput {
 public:
  UdpInput(Worker& worker, const Place& place)
      : worker_(worker), place_(place), leaving_(place.seats->seats.size()) {}

  /// `header`: null where there is none. Worker::kHeadroom bytes before the payload may be written,
  /// which begins in `memory`.
  void take(const nat::Packet& packet, const nat::VnetHeader* header, std::span<std::byte> memory);
  /// Behind the packets of a turn.
  void turn_ended();

 private:
  struct Leaving {
    Flow flow;
    std::vector<std::byte> bytes;  ///< Headroom and payloads.
    std::size_t size;              ///< Of each but the last.
    std::size_t count;
    std::size_t last;
  };
  static constexpr std::size_t kMostLeaving = 4096;  ///< Of one turn, for one worker.

  Worker& worker_;
  Place place_;
  std::vector<std::vector<Leaving>> leaving_;
};

}  // namespace hairpin::stack
