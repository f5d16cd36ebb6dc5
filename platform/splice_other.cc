#include "platform/splice.h"

namespace hairpin::platform {

namespace {

Error not_here() {
  return Error{"splice", ENOSYS};
}

}  // namespace

Result<Pipe> open_pipe() {
  return not_here();
}

Result<std::size_t> splice_in(int /*socket*/, Pipe& /*pipe*/) {
  return not_here();
}

Result<std::size_t> splice_out(Pipe& /*pipe*/, int /*socket*/) {
  return not_here();
}

}  // namespace hairpin::platform
