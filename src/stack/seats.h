// Who serves flows that one worker has found in packets, and another is to have. Packets of one
// device are read by few; what follows from them is spread over all workers.
#pragma once

#include <bit>
#include <memory>
#include <vector>

#include "dispatch/admission.h"
#include "dispatch/udp_listener.h"
#include "flow/worker.h"

namespace hairpin::stack {

/// One worker's part. All belong to it.
struct Seat {
  Worker* worker = nullptr;
  dispatch::UdpAssociations* associations = nullptr;
  dispatch::Admission* admission = nullptr;
};

/// Complete before the first worker runs.
struct Seats {
  explicit Seats(std::size_t workers) : seats(workers) {}

  std::vector<Seat> seats;

  /// Datagrams of one client endpoint belong to one worker: its association is there.
  const Seat& of_client(const Endpoint& client) const {
    return seats[client.port & (std::bit_floor(seats.size()) - 1)];
  }
  /// For the next connection. Worker 0 has all packets to read: the others relay, where there are
  /// others.
  const Seat& next() {
    if (seats.size() == 1) return seats.front();
    next_ = next_ + 1 < seats.size() ? next_ + 1 : 1;
    return seats[next_];
  }

 private:
  std::size_t next_ = 0;  ///< Of worker 0.
};

/// Whose port it is.
struct Place {
  std::size_t inbound = 0;  ///< Index in Config::inbounds.
  std::size_t worker = 0;   ///< Index among the workers.
  std::shared_ptr<Seats> seats = {};
};

}  // namespace hairpin::stack
