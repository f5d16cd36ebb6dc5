#include "stack/tun_queue.h"

#include <unistd.h>

#include <cerrno>

namespace hairpin::stack {

namespace {

/// Frames read before the other flows of the worker have a turn.
constexpr int kFrames = 64;

}  // namespace

TunQueue::TunQueue(Worker& worker, Fd queue, Reader& reader)
    : worker_(worker), queue_(worker.executor()), reader_(reader) {
  if (queue) queue_.assign(queue.release());
}

void TunQueue::start() {
  if (queue_.is_open()) wait();
}

void TunQueue::stop() {
  boost::system::error_code ignored;
  queue_.close(ignored);
}

void TunQueue::wait() {
  queue_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
    if (!ec && queue_.is_open()) drain();
  });
}

void TunQueue::drain() {
  for (int i = 0; i < kFrames; ++i) {
    const auto room = reader_.room();
    const ssize_t size = ::read(queue_.native_handle(), room.data(), room.size());
    if (size < 0) {
      const int code = errno;
      reader_.turn_ended();
      if (code == EAGAIN || code == EINTR) return wait();
      // The device does not exist any more (EBADFD, EFAULT): waiting would return at once, for
      // ever.
      worker_.counters.add(Count::tun_read_error);
      return reader_.lost();
    }
    reader_.frame(room.first(static_cast<std::size_t>(size)));
  }
  reader_.turn_ended();
  asio::post(worker_.executor(), [this] {
    if (queue_.is_open()) drain();
  });
}

}  // namespace hairpin::stack
