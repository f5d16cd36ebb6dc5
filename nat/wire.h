// Integers as they stand in a packet: unaligned, and with their byte order in the type. Reading or
// assigning one converts; nothing else can be done with it, so a byte order is never forgotten.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hairpin::nat {

template <std::unsigned_integral T>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  constexpr BigEndian(T value) { *this = value; }  // NOLINT(google-explicit-constructor)
  constexpr BigEndian& operator=(T value) {
    for (std::size_t i = sizeof(T); i-- > 0; value = static_cast<T>(value >> 8)) {
      raw_[i] = static_cast<std::uint8_t>(value);
    }
    return *this;
  }
  constexpr operator T() const {  // NOLINT(google-explicit-constructor)
    T value = 0;
    for (const std::uint8_t byte : raw_) value = static_cast<T>((value << 8) | byte);
    return value;
  }

 private:
  std::array<std::uint8_t, sizeof(T)> raw_{};
};

using be16 = BigEndian<std::uint16_t>;
using be32 = BigEndian<std::uint32_t>;

/// The machine's own order, unaligned: the virtio header of a TUN device.
class host16 {
 public:
  constexpr host16() = default;
  host16(std::uint16_t value) { *this = value; }  // NOLINT(google-explicit-constructor)
  host16& operator=(std::uint16_t value) {
    std::memcpy(raw_.data(), &value, sizeof value);
    return *this;
  }
  operator std::uint16_t() const {  // NOLINT(google-explicit-constructor)
    return std::bit_cast<std::uint16_t>(raw_);
  }

 private:
  std::array<std::uint8_t, 2> raw_{};
};

static_assert(sizeof(be16) == 2 && alignof(be16) == 1);
static_assert(sizeof(be32) == 4 && alignof(be32) == 1);
static_assert(sizeof(host16) == 2 && alignof(host16) == 1);

}  // namespace hairpin::nat
