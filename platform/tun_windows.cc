#include <cerrno>

#include "platform/tun.h"
#include "platform/wintun.h"

namespace hairpin::platform {

namespace {

constexpr const char* kUsualName = "hairpin";

}  // namespace

Result<Tun> open_tun(const TunOptions& options) {
  auto library = WintunLibrary::load();
  if (!library) return library.error();
  WintunOptions wanted;
  wanted.name = options.name.empty() ? kUsualName : options.name;
  auto adapter = Wintun::open(std::move(*library), wanted);
  if (!adapter) return adapter.error();
  Tun tun;
  tun.name = wanted.name;
  tun.room = wanted.ring;
  tun.ring = std::make_shared<Wintun>(std::move(*adapter));
  return tun;
}

Result<Tun> adopt_tun(int /*fd*/, const std::string& /*name*/) {
  return Error{"take over a TUN: on Windows it is no descriptor", ENOTSUP};
}

Result<int> tun_fd_from_environment() {
  return -1;
}

}  // namespace hairpin::platform
