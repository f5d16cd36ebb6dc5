#include <cerrno>

#include "stack/tun_queue.h"

namespace hairpin::stack {

namespace {

/// Frames read before the other flows of the worker have a turn.
constexpr int kFrames = 64;

}  // namespace

TunQueue::TunQueue(Worker& worker, Fd queue, FrameReader& reader)
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
    const auto size = platform::read_frame(queue_.native_handle(), room);
    if (!size) {
      reader_.turn_ended();
      if (size.error().code == EAGAIN || size.error().code == EINTR) return wait();
      // The device does not exist any more (EBADFD, EFAULT): waiting would return at once, for
      // ever.
      worker_.counters.add(Count::tun_read_error);
      return reader_.lost();
    }
    reader_.frame(room.first(*size));
  }
  reader_.turn_ended();
  asio::post(worker_.executor(), [this] {
    if (queue_.is_open()) drain();
  });
}

std::unique_ptr<FrameSource> take_source(platform::Tun& tun, std::size_t index, Worker& worker,
                                         FrameReader& reader) {
  if (index >= tun.queues.size()) return nullptr;
  return std::make_unique<TunQueue>(worker, std::move(tun.queues[index]), reader);
}

std::unique_ptr<FrameWriter> open_writer(const platform::Tun& tun) {
  auto writer = platform::duplicate(tun.writer.get());
  return std::make_unique<DescriptorWriter>(writer ? std::move(*writer) : Fd());
}

}  // namespace hairpin::stack
