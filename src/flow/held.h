// Datagrams that wait: for the address of a name, for a proxy's answer, for the rest of a hello.
//
// Each queue has a limit of its own, so that one destination does not wait at the expense of
// others. But clients choose how many queues there are, so all of a worker draw on one account.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace hairpin {

/// What waits on one worker. For one thread.
class HeldBytes {
 public:
  static constexpr std::size_t kMost = std::size_t{16} * 1024 * 1024;

  bool take(std::size_t bytes) {
    if (bytes > kMost - used_) return false;
    used_ += bytes;
    return true;
  }
  void give_back(std::size_t bytes) { used_ -= bytes; }
  std::size_t used() const { return used_; }

 private:
  std::size_t used_ = 0;
};

/// A copy of a datagram, on the account as long as it lives. The account outlives it.
class HeldDatagram {
 public:
  /// Of what a datagram costs beside its payload, about: an empty one is not for nothing.
  static constexpr std::size_t kOverhead = 512;

  /// Empty when too much waits already. `headroom` bytes stay free before the payload.
  static std::optional<HeldDatagram> copy(HeldBytes& account, std::span<const std::byte> payload,
                                          std::size_t headroom = 0) {
    if (!account.take(payload.size() + kOverhead)) return std::nullopt;
    std::vector<std::byte> bytes(headroom + payload.size());
    std::ranges::copy(payload, bytes.begin() + static_cast<std::ptrdiff_t>(headroom));
    return HeldDatagram(account, std::move(bytes), headroom);
  }
  HeldDatagram(HeldDatagram&& other) noexcept
      : account_(std::exchange(other.account_, nullptr)),
        bytes_(std::move(other.bytes_)),
        headroom_(other.headroom_) {}
  HeldDatagram& operator=(HeldDatagram&& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(bytes_, other.bytes_);
    std::swap(headroom_, other.headroom_);
    return *this;
  }
  ~HeldDatagram() {
    if (account_ != nullptr) account_->give_back(cost());
  }

  /// With the headroom.
  std::span<std::byte> bytes() { return bytes_; }
  std::size_t headroom() const { return headroom_; }
  std::size_t size() const { return bytes_.size() - headroom_; }  ///< Of the payload.
  std::size_t cost() const { return size() + kOverhead; }

 private:
  HeldDatagram(HeldBytes& account, std::vector<std::byte> bytes, std::size_t headroom)
      : account_(&account), bytes_(std::move(bytes)), headroom_(headroom) {}

  HeldBytes* account_;
  std::vector<std::byte> bytes_;
  std::size_t headroom_;
};

}  // namespace hairpin
