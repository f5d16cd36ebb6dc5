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

}  // namespace hairpin::platform
