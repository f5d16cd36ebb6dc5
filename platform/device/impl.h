// What a device is made of. Not installed.
#pragma once

#include <memory>
#include <mutex>

#include "nat/offload.h"
#include "platform/device/device.h"
#include "platform/device/queue.h"

namespace hairpin::device {

struct Device::Impl {
  std::unique_ptr<Queue> queue;
  Layer layer = Layer::ip;
  bool offload = false;
  bool segments_tcp = false;
  bool segments_udp = false;
  bool multi_queue = false;

  /// Made by the first batch that is written.
  std::unique_ptr<nat::Coalescer> coalescer;
  std::mutex coalescing;
};

}  // namespace hairpin::device
