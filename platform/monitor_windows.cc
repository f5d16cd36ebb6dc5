#include <cerrno>

#include "platform/monitor.h"

namespace hairpin::platform {

/// Not written: NotifyRouteChange2 and its like call a function, on a thread of Windows' own.
Result<Monitor> Monitor::open() {
  return Error{"changes of the network are not told on Windows", ENOSYS};
}

void Monitor::hear_tables(bool /*wanted*/) {}
void Monitor::drain(int /*socket*/) {}

std::int64_t time_asleep() {
  // The one goes on while the machine sleeps, the other does not.
  ULONGLONG awake = 0;
  (void)::QueryUnbiasedInterruptTime(&awake);
  constexpr ULONGLONG kPerMillisecond = 10'000;
  return static_cast<std::int64_t>(::GetTickCount64()) -
         static_cast<std::int64_t>(awake / kPerMillisecond);
}

}  // namespace hairpin::platform
