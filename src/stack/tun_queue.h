// One queue of a TUN device, read until it is empty, in turns with the worker's other flows.
#pragma once

#include <span>

#include "base/asio.h"
#include "base/fd.h"
#include "flow/worker.h"

namespace hairpin::stack {

class TunQueue {
 public:
  class Reader {
   public:
    virtual ~Reader() = default;
    /// Where the next frame is to go.
    virtual std::span<std::byte> room() = 0;
    virtual void frame(std::span<std::byte> frame) = 0;
    /// Behind the frames of a turn.
    virtual void turn_ended() {}
    /// The device does not exist any more.
    virtual void lost() = 0;
  };

  /// `reader` must outlive the queue's last turn. An empty descriptor: others read.
  TunQueue(Worker& worker, Fd queue, Reader& reader);
  void start();
  void stop();
  bool is_open() const { return queue_.is_open(); }

 private:
  void wait();
  void drain();

  Worker& worker_;
  Descriptor queue_;
  Reader& reader_;
};

}  // namespace hairpin::stack
