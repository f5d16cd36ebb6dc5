#include "nat/checksum.h"

#include <array>
#include <bit>
#include <cstring>

namespace hairpin::nat {

namespace {

std::uint16_t fold(std::uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace

Sum& Sum::add(std::span<const std::byte> bytes) {
  // Four bytes a step in host order: a one's-complement sum of byte-swapped words is the
  // byte-swapped sum (RFC 1071, 2.B), so the swap is done once, at the end.
  // Four sums, so that none waits for the one before it (2.A, 2.C).
  std::array<std::uint64_t, 4> sums{};
  while (bytes.size() >= 16) {
    std::array<std::uint32_t, 4> words;
    std::memcpy(words.data(), bytes.data(), sizeof words);
    for (std::size_t i = 0; i < 4; ++i) sums[i] += words[i];
    bytes = bytes.subspan(16);
  }
  std::uint64_t sum = sums[0] + sums[1] + sums[2] + sums[3];
  while (bytes.size() >= 4) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    sum += word;
    bytes = bytes.subspan(4);
  }
  if (!bytes.empty()) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    sum += word;
  }
  const std::uint16_t word = fold(sum);
  if constexpr (std::endian::native == std::endian::little) {
    return add(static_cast<std::uint16_t>((word << 8) | (word >> 8)));
  }
  return add(word);
}

Sum& Sum::add(std::uint16_t word) {
  sum_ += word;
  return *this;
}

Sum& Sum::add(const IpAddr& address) {
  return add(std::as_bytes(address.bytes()));
}

std::uint16_t Sum::folded() const {
  return fold(sum_);
}

Sum pseudo_header(const IpAddr& source, const IpAddr& destination, std::uint8_t protocol,
                  std::uint32_t length) {
  Sum sum;
  sum.add(source).add(destination);
  sum.add(static_cast<std::uint16_t>(length >> 16)).add(static_cast<std::uint16_t>(length));
  sum.add(std::uint16_t{protocol});
  return sum;
}

std::uint16_t updated(std::uint16_t checksum, std::uint16_t before, std::uint16_t after) {
  const std::uint32_t sum = static_cast<std::uint16_t>(~checksum) +
                            std::uint32_t{static_cast<std::uint16_t>(~before)} + after;
  return static_cast<std::uint16_t>(~fold(sum));
}

}  // namespace hairpin::nat
