#include "platform/device/event.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace hairpin::device {

Result<Fd> Event::open() {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd) return last_error("eventfd");
  return fd;
}

void Event::set() {
  const int code = errno;  // of whom a signal handler has interrupted
  set_.store(true, std::memory_order_release);
  constexpr std::uint64_t kOne = 1;
  (void)::write(fd_.get(), &kOne, sizeof kOne);  // full is set as well
  errno = code;
}

void Event::clear() {
  set_.store(false, std::memory_order_release);
  std::uint64_t count = 0;
  (void)::read(fd_.get(), &count, sizeof count);
}

}  // namespace hairpin::device
