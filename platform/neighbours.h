// Who is on the same link: what the kernel has learned by ARP (RFC 826) and neighbour discovery
// (RFC 4861).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

using HardwareAddress = std::array<std::uint8_t, 6>;

/// Asks the network namespace in which it was opened. For one thread at a time.
class Neighbours {
 public:
  static Result<Neighbours> open();
  Neighbours(Neighbours&&) noexcept;
  Neighbours& operator=(Neighbours&&) noexcept;
  ~Neighbours();

  /// Empty: it is no neighbour, or has not said what it is. The kernel lists all that it has.
  Result<std::optional<HardwareAddress>> find(const IpAddr& address);

 private:
  struct State;
  explicit Neighbours(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hairpin::platform
