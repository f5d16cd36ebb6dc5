// How long a call may wait.
#pragma once

#include <chrono>
#include <optional>

namespace hairpin::device {

class Interrupt;

struct Wait {
  /// Empty: until there is something. Zero: not at all (EAGAIN). Otherwise ETIMEDOUT ends it.
  std::optional<std::chrono::milliseconds> timeout = {};
  /// Ends it with EINTR when triggered. Not owned.
  const Interrupt* interrupt = nullptr;
};

inline constexpr Wait kDoNotWait{std::chrono::milliseconds{0}, nullptr};

}  // namespace hairpin::device
