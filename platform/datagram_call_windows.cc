#include "platform/datagram_call.h"

#include <array>
#include <new>

#include "platform/winsock_windows.h"

namespace hairpin::platform {

LazyMemory::LazyMemory(std::size_t bytes) {
  void* memory = ::VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (memory == nullptr) throw std::bad_alloc();
  bytes_ = {static_cast<std::byte*>(memory), bytes};
}

LazyMemory::~LazyMemory() {
  ::VirtualFree(bytes_.data(), 0, MEM_RELEASE);
}

Result<OneDatagram> receive_datagram(int socket, std::span<std::byte> into) {
  sockaddr_storage name{};
  int size = sizeof name;
  const int got =
      ::recvfrom(static_cast<SOCKET>(socket), reinterpret_cast<char*>(into.data()),
                 static_cast<int>(into.size()), 0, reinterpret_cast<sockaddr*>(&name), &size);
  if (got < 0) return socket_error("recvfrom");
  return OneDatagram{Endpoint::from_sockaddr(name), static_cast<std::size_t>(got)};
}

Result<> send_datagram(int socket, std::span<const std::byte> header,
                       std::span<const std::byte> payload, const sockaddr_storage* address,
                       std::uint32_t address_size) {
  const auto part = [](std::span<const std::byte> bytes) {
    return WSABUF{static_cast<ULONG>(bytes.size()),
                  reinterpret_cast<CHAR*>(const_cast<std::byte*>(bytes.data()))};
  };
  std::array<WSABUF, 2> parts{part(header), part(payload)};
  DWORD sent = 0;
  if (::WSASendTo(static_cast<SOCKET>(socket), parts.data(), parts.size(), &sent, 0,
                  reinterpret_cast<const sockaddr*>(address), static_cast<int>(address_size),
                  nullptr, nullptr) != 0) {
    return socket_error("send");
  }
  return {};
}

}  // namespace hairpin::platform
