#include <sys/sysctl.h>

#include <csignal>
#include <cstddef>

#include "platform/process.h"

namespace hairpin::platform {

unsigned processors() {
  int count = 0;
  std::size_t size = sizeof count;
  if (::sysctlbyname("hw.activecpu", &count, &size, nullptr, 0) != 0 || count < 1) return 1;
  return static_cast<unsigned>(count);
}

void ignore_broken_pipes() {
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace hairpin::platform
