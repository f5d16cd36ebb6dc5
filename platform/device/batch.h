// Packets that are read together, in memory that is allocated once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "nat/offload.h"

namespace hairpin::device {

class Batch {
 public:
  /// Room for `packets` of at most `packet_size` bytes each. What does not fit is counted.
  Batch(std::size_t packets, std::size_t packet_size);

  std::size_t size() const { return used_; }
  bool is_full() const { return used_ == sizes_.size(); }
  std::span<std::byte> operator[](std::size_t i) {
    return {memory_.get() + i * packet_size_, sizes_[i]};
  }
  /// Forgets the packets. Segments of a packet that is cut and did not fit are kept for the next
  /// read.
  void clear() { used_ = 0; }

  /// Packets that were longer than `packet_size`, and packets whose virtio header contradicted
  /// them: lost, since this object exists.
  std::uint64_t oversized() const { return oversized_; }
  std::uint64_t malformed() const { return malformed_; }

 private:
  friend class Device;

  std::span<std::byte> room() { return {memory_.get() + used_ * packet_size_, packet_size_}; }
  std::span<std::byte> whole();
  void take_segments();

  std::size_t packet_size_;
  std::unique_ptr<std::byte[]> memory_;
  std::vector<std::size_t> sizes_;
  std::size_t used_ = 0;
  std::unique_ptr<std::byte[]> whole_;  ///< A packet that is being cut.
  nat::Segmenter segmenter_;
  std::uint64_t oversized_ = 0;
  std::uint64_t malformed_ = 0;
};

}  // namespace hairpin::device
