// When a rule that rejects becomes silent.
//
// A client that is told at once that it is rejected may ask again at once, and for ever. So a rule
// tells it 50 times in 30 s, and is silent about what comes more, as sing-box does: whoever goes on
// asking meets silence until he has asked less. What is silenced counts, too.
//
// Each worker counts for itself: a lock for each rejection would be a price without a gain, since
// what floods is one client on one worker, or many of whom each deserves an answer.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <unordered_map>

namespace hairpin {

/// The rejections of one rule. Pure: whoever asks says what time it is. For one thread.
class RejectWindow {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kMost = 50;
  static constexpr auto kSpan = std::chrono::seconds(30);

  /// Counts one more; false when the client is not to be told. `now` never goes back.
  bool tells(Time now) {
    // Of the last 50 the oldest tells whether this one is the 51st within the span.
    Time& oldest = last_[next_];
    const bool full = count_ == kMost && now - oldest <= kSpan;
    oldest = now;
    next_ = (next_ + 1) % kMost;
    if (count_ < kMost) ++count_;
    return !full;
  }

 private:
  std::array<Time, kMost> last_{};
  std::size_t next_ = 0;
  std::size_t count_ = 0;  ///< In `last_`.
};

/// Those of all rules of a list, by their index. For one thread.
class RejectWindows {
 public:
  bool tells(std::size_t rule, RejectWindow::Time now) { return windows_[rule].tells(now); }

 private:
  std::unordered_map<std::size_t, RejectWindow> windows_;
};

}  // namespace hairpin
