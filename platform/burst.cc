#include "platform/sockets.h"

namespace hairpin::platform {

Burst Burst::part(std::size_t from, std::size_t n) const {
  Burst some = *this;
  some.offset += from * stride;
  some.count = n;
  some.last = size_of(from + n - 1);
  if (n == 1) some.size = some.last;
  return some;
}

Burst Burst::without_front(std::size_t bytes) const {
  Burst rest = *this;
  rest.offset += bytes;
  rest.size -= bytes;
  rest.last -= bytes;
  return rest;
}

void DatagramBatch::append(std::size_t slot, std::size_t slot_size, const Received& next) {
  const auto extends = [&](const Received& open) {
    const Burst& burst = open.burst;
    const bool one_by_one = burst.count == 1 || burst.stride == slot_size;
    return one_by_one && next.burst.count == 1 && burst.last == burst.size &&
           next.burst.size <= burst.size && next.burst.size != 0 && burst.count < kMaxSegments &&
           burst.offset + burst.count * slot_size == slot * slot_size + headroom_ &&
           next.source == open.source && next.destination == open.destination;
  };
  if (received_.empty() || !extends(received_.back())) return received_.push_back(next);
  Burst& open = received_.back().burst;
  open.stride = slot_size;
  open.last = next.burst.size;
  ++open.count;
}

}  // namespace hairpin::platform
