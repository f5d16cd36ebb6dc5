// A queue that is a descriptor: read, written and waited for with the calls of POSIX. Not
// installed.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "base/fd.h"
#include "platform/device/event.h"
#include "platform/device/framing.h"
#include "platform/device/queue.h"

namespace hairpin::device {

struct QueueShape {
  Layer layer = Layer::ip;
  Framing framing = Framing::bare;
  bool vnet_header = false;  ///< Stands behind what `framing` puts before a packet.
};

class DescriptorQueue final : public Queue {
 public:
  /// `fd` does not block. `what`: the device's name, for errors.
  static Result<std::unique_ptr<DescriptorQueue>> create(Fd fd, QueueShape shape, std::string what);
  DescriptorQueue(Fd fd, Fd event, QueueShape shape, std::string what);

  Result<std::size_t> read(std::span<const Part> parts, nat::VnetHeader& header,
                           const Wait& wait) override;
  Result<> write(std::span<const ConstPart> parts, const nat::VnetHeader& header,
                 const Wait& wait) override;
  void shutdown() override { shutdown_.set(); }
  bool is_shut_down() const override { return shutdown_.is_set(); }
  void set_packet_information(bool shown) override { information_ = shown; }
  bool packet_information() const override { return information_; }

  const QueueShape& shape() const { return shape_; }
  const std::string& what() const { return what_; }
  int descriptor() const { return fd_.get(); }
  Fd take() { return std::move(fd_); }

 private:
  Result<std::size_t> read_once(std::span<const Part> parts, nat::VnetHeader& header);
  Result<> write_once(std::span<const ConstPart> parts, const nat::VnetHeader& header);
  FramingBytes information_before(Part front, std::size_t packet,
                                  const FramingBytes& framing) const;
  FramingBytes framing_before(ConstPart front, bool information) const;
  /// Until the descriptor is ready for `events` (poll(2)), or something else has happened.
  Result<> await(short events, const Wait& wait, std::chrono::steady_clock::time_point end);
  Result<> allowed(const Wait& wait) const;

  Fd fd_;
  Event shutdown_;
  QueueShape shape_;
  std::string what_;
  std::atomic<bool> information_ = false;
};

}  // namespace hairpin::device
