#include "flow/watchdog.h"

#include <algorithm>

namespace hairpin {

namespace {

/// How late a deadline may be noticed: what batching many of them into one wake-up costs.
constexpr auto kGranularity = std::chrono::milliseconds(100);

}  // namespace

void Watchdog::watch(Watched& entry) {
  entries_.push_back(entry);
  hasten(entry);
}

void Watchdog::hasten(const Watched& entry) {
  if (entry.deadline() < armed_) arm(entry.deadline());
}

void Watchdog::stop() {
  stopped_ = true;
  timer_.cancel();
}

void Watchdog::arm(Clock::time_point at) {
  armed_ = std::max(at, Clock::now() + kGranularity);
  timer_.expires_at(armed_);  // cancels the wait before
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec && !stopped_) sweep();
  });
}

void Watchdog::sweep() {
  armed_ = Clock::time_point::max();
  const auto now = Clock::now();
  auto earliest = Clock::time_point::max();
  // Apart from the others, so that whatever `expire` destroys leaves no loop behind.
  decltype(entries_) due;
  for (auto it = entries_.begin(); it != entries_.end();) {
    Watched& entry = *it++;
    if (entry.deadline() <= now) {
      entry.unlink();
      due.push_back(entry);
    } else {
      earliest = std::min(earliest, entry.deadline());
    }
  }
  while (!due.empty()) {
    Watched& entry = due.front();
    due.pop_front();
    entry.expire();
  }
  // `expire` may have watched something new, and armed for it.
  if (earliest < armed_) arm(earliest);
}

}  // namespace hairpin
