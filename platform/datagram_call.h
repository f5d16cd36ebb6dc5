// One datagram for each system call, for systems that have no call for several
// (datagrams_other.cc).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

/// Memory whose pages come into being when they are written to. Throws std::bad_alloc.
class LazyMemory {
 public:
  explicit LazyMemory(std::size_t bytes);
  ~LazyMemory();
  LazyMemory(const LazyMemory&) = delete;
  LazyMemory& operator=(const LazyMemory&) = delete;
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

struct OneDatagram {
  Endpoint source;
  std::size_t size = 0;  ///< Bytes.
};
/// Error code EAGAIN: there is none.
Result<OneDatagram> receive_datagram(int socket, std::span<std::byte> into);

/// `address` of `address_size` bytes; nullptr: where the socket is connected.
Result<> send_datagram(int socket, std::span<const std::byte> header,
                       std::span<const std::byte> payload, const sockaddr_storage* address,
                       std::uint32_t address_size);

}  // namespace hairpin::platform
