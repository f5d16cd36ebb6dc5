// Not written: they are routes of their own there (sysctl, NET_RT_FLAGS with RTF_LLINFO).
#include "platform/neighbours.h"

namespace hairpin::platform {

struct Neighbours::State {};

Neighbours::Neighbours(std::unique_ptr<State> state) : state_(std::move(state)) {}
Neighbours::Neighbours(Neighbours&&) noexcept = default;
Neighbours& Neighbours::operator=(Neighbours&&) noexcept = default;
Neighbours::~Neighbours() = default;

Result<Neighbours> Neighbours::open() {
  return Error{"hardware addresses are not known on macOS", ENOSYS};
}
Result<std::optional<HardwareAddress>> Neighbours::find(const IpAddr& /*address*/) {
  return std::nullopt;
}

}  // namespace hairpin::platform
