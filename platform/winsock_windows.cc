#include "platform/winsock_windows.h"

#include <array>
#include <cerrno>
#include <utility>

namespace hairpin::platform {

namespace {

constexpr std::array<std::pair<unsigned long, int>, 42> kMeanings{{
    {ERROR_FILE_NOT_FOUND, ENOENT},
    {ERROR_PATH_NOT_FOUND, ENOENT},
    {ERROR_TOO_MANY_OPEN_FILES, EMFILE},
    {ERROR_ACCESS_DENIED, EACCES},
    {ERROR_INVALID_HANDLE, EBADF},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
    {ERROR_OUTOFMEMORY, ENOMEM},
    {ERROR_NOT_SUPPORTED, EOPNOTSUPP},
    {ERROR_FILE_EXISTS, EEXIST},
    {ERROR_INVALID_PARAMETER, EINVAL},
    {ERROR_MOD_NOT_FOUND, ENOENT},
    {ERROR_PROC_NOT_FOUND, ENOSYS},
    {ERROR_ALREADY_EXISTS, EEXIST},
    {ERROR_OBJECT_ALREADY_EXISTS, EEXIST},
    {ERROR_NOT_FOUND, ENOENT},
    {ERROR_NO_DATA, ENOENT},
    {ERROR_CALL_NOT_IMPLEMENTED, ENOSYS},
    {WSAEWOULDBLOCK, EAGAIN},
    {WSAEINPROGRESS, EINPROGRESS},
    {WSAEALREADY, EALREADY},
    {WSAENOTSOCK, ENOTSOCK},
    {WSAEMSGSIZE, EMSGSIZE},
    {WSAENOPROTOOPT, ENOPROTOOPT},
    {WSAEPROTONOSUPPORT, EPROTONOSUPPORT},
    {WSAEOPNOTSUPP, EOPNOTSUPP},
    {WSAEAFNOSUPPORT, EAFNOSUPPORT},
    {WSAEADDRINUSE, EADDRINUSE},
    {WSAEADDRNOTAVAIL, EADDRNOTAVAIL},
    {WSAENETDOWN, ENETDOWN},
    {WSAENETUNREACH, ENETUNREACH},
    {WSAENETRESET, ENETRESET},
    {WSAECONNABORTED, ECONNABORTED},
    {WSAECONNRESET, ECONNRESET},
    {WSAENOBUFS, ENOBUFS},
    {WSAENOTCONN, ENOTCONN},
    {WSAESHUTDOWN, EPIPE},
    {WSAETIMEDOUT, ETIMEDOUT},
    {WSAECONNREFUSED, ECONNREFUSED},
    {WSAEHOSTDOWN, EHOSTDOWN},
    {WSAEHOSTUNREACH, EHOSTUNREACH},
    {WSAEMFILE, EMFILE},
    {WSAEACCES, EACCES},
}};

}  // namespace

int errno_of(unsigned long windows_error) {
  for (const auto& [code, meaning] : kMeanings) {
    if (code == windows_error) return meaning;
  }
  return windows_error == 0 ? 0 : EIO;
}

Error socket_error(std::string what) {
  const auto code = static_cast<unsigned long>(::WSAGetLastError());
  return Error{std::move(what), errno_of(code)};
}

Error windows_error(std::string what) {
  const unsigned long code = ::GetLastError();
  const int meaning = errno_of(code);
  if (meaning == EIO) what += " (Windows error " + std::to_string(code) + ")";
  return Error{std::move(what), meaning};
}

void start_winsock() {
  static const int started = [] {
    WSADATA data;
    return ::WSAStartup(MAKEWORD(2, 2), &data);
  }();
  (void)started;
}

}  // namespace hairpin::platform
