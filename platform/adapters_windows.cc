#include "platform/adapters_windows.h"

#include <cstring>

#include "platform/winsock_windows.h"

namespace hairpin::platform {

Result<Adapters> Adapters::list(ULONG flags) {
  ULONG size = 16384;  // "recommended", says the documentation
  for (;;) {
    std::vector<std::uint64_t> memory(size / sizeof(std::uint64_t) + 1);
    size = static_cast<ULONG>(memory.size() * sizeof(std::uint64_t));
    auto* adapters = reinterpret_cast<IP_ADAPTER_ADDRESSES*>(memory.data());
    const ULONG code = ::GetAdaptersAddresses(AF_UNSPEC, flags, nullptr, adapters, &size);
    if (code == ERROR_SUCCESS) return Adapters(std::move(memory));
    if (code != ERROR_BUFFER_OVERFLOW) return Error{"GetAdaptersAddresses", errno_of(code)};
  }
}

IpAddr address_of(const SOCKET_ADDRESS& from) {
  sockaddr_storage address{};
  std::memcpy(&address, from.lpSockaddr, static_cast<std::size_t>(from.iSockaddrLength));
  return Endpoint::from_sockaddr(address).address;
}

std::string narrow(const wchar_t* text) {
  const int size = ::WideCharToMultiByte(CP_UTF8, 0, text, -1, nullptr, 0, nullptr, nullptr);
  std::string out(static_cast<std::size_t>(size > 0 ? size - 1 : 0), '\0');
  ::WideCharToMultiByte(CP_UTF8, 0, text, -1, out.data(), size, nullptr, nullptr);
  return out;
}

std::wstring widen(const std::string& text) {
  const int size = ::MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, nullptr, 0);
  std::wstring out(static_cast<std::size_t>(size > 0 ? size - 1 : 0), L'\0');
  ::MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, out.data(), size);
  return out;
}

}  // namespace hairpin::platform
