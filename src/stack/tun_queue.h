// Frames of devices that are descriptors: one queue of a TUN, or a packet socket.
#pragma once

#include "base/asio.h"
#include "stack/frames.h"

namespace hairpin::stack {

class TunQueue final : public FrameSource {
 public:
  /// `reader` must outlive the queue's last turn. An empty descriptor: others read.
  TunQueue(Worker& worker, Fd queue, FrameReader& reader);
  void start() override;
  void stop() override;

 private:
  void wait();
  void drain();

  Worker& worker_;
  Descriptor queue_;
  FrameReader& reader_;
};

class DescriptorWriter final : public FrameWriter {
 public:
  explicit DescriptorWriter(Fd descriptor) : descriptor_(std::move(descriptor)) {}
  using FrameWriter::write;
  Result<> write(std::span<const std::span<const std::byte>> pieces) override {
    return platform::write_frame(descriptor_.get(), pieces);
  }
  void close() override { descriptor_.reset(); }

 private:
  Fd descriptor_;
};

}  // namespace hairpin::stack
