#include "platform/splice.h"

namespace hairpin::platform {

namespace {

constexpr unsigned kAskAgainAfter = 1000;  ///< Refusals.

}  // namespace

Result<Pipe> PipePool::acquire() {
  if (idle_.empty()) {
    if (refusals_left_ > 0) {
      --refusals_left_;
      return Error{"pipe2", ENOBUFS};
    }
    auto fresh = open_pipe();
    if (!fresh) refusals_left_ = kAskAgainAfter;
    return fresh;
  }
  Pipe pipe = std::move(idle_.back());
  idle_.pop_back();
  return pipe;
}

void PipePool::release(Pipe pipe) {
  if (pipe.filled == 0 && pipe.read_end && idle_.size() < keep_) idle_.push_back(std::move(pipe));
}

}  // namespace hairpin::platform
