// One queue of a device: reads and writes single packets, takes away and adds what stands before
// them, and waits. What a port to another system has to write anew. Not installed.
#pragma once

#include <span>

#include "base/result.h"
#include "nat/virtio.h"
#include "platform/device/wait.h"

namespace hairpin::device {

using Part = std::span<std::byte>;
using ConstPart = std::span<const std::byte>;

/// Any number of threads may read and write at once; each packet goes to one of them.
class Queue {
 public:
  /// The most parts of one packet.
  static constexpr std::size_t kMaxParts = 256;

  Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  virtual ~Queue() = default;

  /// Bytes of the packet, which fill the parts in their order. EMSGSIZE: it was longer, and is
  /// lost. `header` is filled from the device's, or cleared if that has none.
  virtual Result<std::size_t> read(std::span<const Part> parts, nat::VnetHeader& header,
                                   const Wait& wait) = 0;
  virtual Result<> write(std::span<const ConstPart> parts, const nat::VnetHeader& header,
                         const Wait& wait) = 0;

  /// Ends all calls, now and later, with ESHUTDOWN.
  virtual void shutdown() = 0;
  virtual bool is_shut_down() const = 0;

  /// Whether callers see Linux's packet information before each packet.
  virtual void set_packet_information(bool shown) = 0;
  virtual bool packet_information() const = 0;
};

}  // namespace hairpin::device
