// Frames of Wintun's ring: a packet each, without a virtio header.
#include <algorithm>

#include "base/log.h"
#include "platform/wintun.h"
#include "stack/frames.h"

namespace hairpin::stack {

namespace {

class RingSource final : public FrameSource {
 public:
  RingSource(std::shared_ptr<platform::Wintun> ring, Worker& worker, FrameReader& reader)
      : ring_(std::move(ring)), worker_(worker), reader_(reader) {}
  ~RingSource() override { RingSource::stop(); }

  /// The ring takes what there is at once, which is the worker's to take.
  void start() override {
    asio::post(worker_.executor(), [this] { begin(); });
  }
  void stop() override { ring_->stop(); }

 private:
  void begin() {
    ring_->start(
        worker_.executor(), [this](std::span<std::byte> packet) { take(packet); },
        [this](const Error& error) {
          worker_.counters.add(Count::tun_read_error);
          log::error("{}", error.text());
          reader_.lost();
        },
        [this] { reader_.turn_ended(); });
  }
  /// Out of the ring: what is read goes to whoever needs it, for as long as that takes.
  void take(std::span<const std::byte> packet) {
    const auto room = reader_.room();
    const std::size_t size = std::min(room.size(), packet.size());
    std::ranges::copy(packet.first(size), room.begin());
    reader_.frame(room.first(size));
  }

  std::shared_ptr<platform::Wintun> ring_;
  Worker& worker_;
  FrameReader& reader_;
};

class RingWriter final : public FrameWriter {
 public:
  explicit RingWriter(std::shared_ptr<platform::Wintun> ring) : ring_(std::move(ring)) {}

  Result<> write(std::span<const std::span<const std::byte>> pieces) override {
    if (!ring_) return Error{"write", EBADF};
    std::size_t size = 0;
    for (const auto piece : pieces) size += piece.size();
    auto room = ring_->allocate(size);
    if (!room) return room.error();
    auto to = room->begin();
    for (const auto piece : pieces) to = std::ranges::copy(piece, to).out;
    ring_->send(*room);
    return {};
  }
  void close() override { ring_.reset(); }

 private:
  std::shared_ptr<platform::Wintun> ring_;
};

}  // namespace

std::unique_ptr<FrameSource> take_source(platform::Tun& tun, std::size_t index, Worker& worker,
                                         FrameReader& reader) {
  if (index != 0) return nullptr;
  return std::make_unique<RingSource>(tun.ring, worker, reader);
}

std::unique_ptr<FrameWriter> open_writer(const platform::Tun& tun) {
  return std::make_unique<RingWriter>(tun.ring);
}

}  // namespace hairpin::stack
