#include "platform/device/batch.h"

namespace hairpin::device {

namespace {

constexpr std::size_t kLargest =
    65536 + 22;  // an IP packet behind an Ethernet header with two tags

}  // namespace

Batch::Batch(std::size_t packets, std::size_t packet_size)
    : packet_size_(packet_size),
      memory_(std::make_unique_for_overwrite<std::byte[]>(packets * packet_size)),
      sizes_(packets) {}

std::span<std::byte> Batch::whole() {
  if (!whole_) whole_ = std::make_unique_for_overwrite<std::byte[]>(kLargest);
  return {whole_.get(), kLargest};
}

void Batch::take_segments() {
  if (segmenter_.left() == 0) return;
  if (segmenter_.largest() > packet_size_) {
    oversized_ += segmenter_.left();
    segmenter_ = {};
    return;
  }
  while (!is_full() && segmenter_.left() != 0) {
    sizes_[used_] = segmenter_.next(room());
    ++used_;
  }
}

}  // namespace hairpin::device
