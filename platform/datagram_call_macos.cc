#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <new>

#include "platform/datagram_call.h"

namespace hairpin::platform {

LazyMemory::LazyMemory(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  bytes_ = {static_cast<std::byte*>(memory), bytes};
}

LazyMemory::~LazyMemory() {
  ::munmap(bytes_.data(), bytes_.size());
}

Result<OneDatagram> receive_datagram(int socket, std::span<std::byte> into) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  const ssize_t got = ::recvfrom(socket, into.data(), into.size(), MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&name), &size);
  if (got < 0) return last_error("recvfrom");
  return OneDatagram{Endpoint::from_sockaddr(name), static_cast<std::size_t>(got)};
}

Result<> send_datagram(int socket, std::span<const std::byte> header,
                       std::span<const std::byte> payload, const sockaddr_storage* address,
                       std::uint32_t address_size) {
  const auto part = [](std::span<const std::byte> bytes) {
    return iovec{const_cast<std::byte*>(bytes.data()), bytes.size()};
  };
  std::array<iovec, 2> parts{part(header), part(payload)};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_storage*>(address);
  message.msg_namelen = address_size;
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return last_error("send");
  return {};
}

}  // namespace hairpin::platform
