// Reads big-endian fields from bytes of which more may come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace hairpin::sniff {

/// After the first read beyond the end everything is 0 and empty, and `short_` says so.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  /// `size` as a field of the bytes says it, whatever a size has on this machine.
  std::span<const std::byte> take(std::uint64_t size) {
    if (size > rest_.size()) {
      short_ = true;
      rest_ = {};
      return {};
    }
    const auto taken = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (const std::byte byte : take(size))
      value = value << 8 | std::to_integer<std::uint64_t>(byte);
    return value;
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(number(1)); }
  /// A variable-length integer of QUIC's (RFC 9000, 16).
  std::uint64_t varint() {
    if (rest_.empty()) {
      short_ = true;
      return 0;
    }
    const auto size = std::size_t{1} << (std::to_integer<unsigned>(rest_[0]) >> 6);
    const std::uint64_t value = number(size);
    return value & ~(std::uint64_t{3} << (8 * size - 2));
  }

  std::size_t left() const { return rest_.size(); }
  std::span<const std::byte> rest() const { return rest_; }
  /// More was asked for than there was.
  bool is_short() const { return short_; }

 private:
  std::span<const std::byte> rest_;
  bool short_ = false;
};

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace hairpin::sniff
