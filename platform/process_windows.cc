#include "platform/process.h"

#include <algorithm>
#include <bit>

namespace hairpin::platform {

unsigned processors() {
  DWORD_PTR own = 0;
  DWORD_PTR system = 0;
  if (!::GetProcessAffinityMask(::GetCurrentProcess(), &own, &system)) return 1;
  return static_cast<unsigned>(std::max(1, std::popcount(own)));
}

void ignore_broken_pipes() {}  // there are no signals

}  // namespace hairpin::platform
