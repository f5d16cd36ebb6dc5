#include <sys/socket.h>

#include <array>
#include <ctime>

#include "platform/monitor.h"
#include "platform/unix_macos.h"

namespace hairpin::platform {

namespace {

std::int64_t milliseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

/// A routing socket hears about all changes of interfaces, addresses and routes.
Result<Monitor> Monitor::open() {
  auto routes = open_socket(PF_ROUTE, SOCK_RAW, AF_UNSPEC, "open routing socket");
  if (!routes) return routes.error();
  Monitor monitor;
  monitor.routes_ = std::move(*routes);
  return monitor;
}

void Monitor::hear_tables(bool /*wanted*/) {}  // there are none

void Monitor::drain(int socket) {
  std::array<std::byte, 4096> ignored;
  while (::recv(socket, ignored.data(), ignored.size(), MSG_DONTWAIT) > 0) {
  }
}

std::int64_t time_asleep() {
  // The one goes on while the machine sleeps, the other does not.
  return milliseconds(CLOCK_MONOTONIC) - milliseconds(CLOCK_UPTIME_RAW);
}

}  // namespace hairpin::platform
