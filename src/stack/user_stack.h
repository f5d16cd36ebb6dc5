// TCP in user space on one device: what lwIP needs of a worker, and where its connections go.
#pragma once

#include <memory>
#include <optional>

#include "base/asio.h"
#include "flow/worker.h"
#include "stack/frames.h"
#include "stack/seats.h"
#include "tcp/stack.h"

namespace hairpin::stack {

class UserStack final : private tcp::Device {
 public:
  struct Options {
    std::size_t mtu;               ///< Bytes, of the device.
    bool vnet_header;              ///< It has one, and cuts packets into segments.
    std::size_t queue;             ///< Packets that wait in the device at most.
    std::size_t memory_limit = 0;  ///< Bytes of what is held; 0: none.
  };

  /// `writer`: of the device. All must outlive it.
  UserStack(Worker& worker, const Options& options, const Place& place, FrameWriter& writer);
  /// Resets all connections.
  ~UserStack() override;

  tcp::Blocks& blocks() { return blocks_; }
  /// A TCP packet with a right sum, in a block, which may be taken.
  void input(tcp::Block& block, std::size_t offset, std::size_t size);
  /// The same, from memory that stays with the caller.
  void input(std::span<const std::byte> packet);
  /// Behind the packets of a turn.
  void turn_ended();

 private:
  void send(std::span<const std::span<const std::byte>> pieces, std::size_t size,
            std::size_t segment) override;
  void accept(tcp::Connection& connection);
  void tick_later();

  Worker& worker_;
  Options options_;
  FrameWriter& writer_;
  Place place_;
  tcp::Blocks blocks_;
  std::optional<tcp::Stack> stack_;
  std::vector<std::byte> packet_;  ///< That is written in one piece.
  Timer timer_;
  bool ticking_ = false;
};

}  // namespace hairpin::stack
