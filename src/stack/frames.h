// Where packets come from and go to: the TUN of a link, whatever the system has for one.
//
// A frame is a packet, behind a nat::VnetHeader where the device has one.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/fd.h"
#include "base/result.h"
#include "flow/worker.h"
#include "platform/tun.h"

namespace hairpin::stack {

class FrameReader {
 public:
  virtual ~FrameReader() = default;
  /// Where the next frame is to go.
  virtual std::span<std::byte> room() = 0;
  virtual void frame(std::span<std::byte> frame) = 0;
  /// Behind the frames of a turn.
  virtual void turn_ended() {}
  /// The device does not exist any more.
  virtual void lost() = 0;
};

/// Read until it is empty, in turns with the worker's other flows.
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
};

class FrameWriter {
 public:
  /// That one frame consists of, at most.
  static constexpr std::size_t kMaxPieces = 66;

  virtual ~FrameWriter() = default;
  /// One frame. Error code EINVAL: the device cannot do what its virtio header asks for.
  virtual Result<> write(std::span<const std::span<const std::byte>> pieces) = 0;
  Result<> write(std::span<const std::byte> frame) { return write({&frame, 1}); }
  /// What is written afterwards fails.
  virtual void close() = 0;
};

/// Takes queue `index` out of the device. `reader` must outlive the source's last turn. Null: the
/// device has fewer queues, and other workers read them.
std::unique_ptr<FrameSource> take_source(platform::Tun& tun, std::size_t index, Worker& worker,
                                         FrameReader& reader);
/// For any worker. The device must not be closed before.
std::unique_ptr<FrameWriter> open_writer(const platform::Tun& tun);

}  // namespace hairpin::stack
