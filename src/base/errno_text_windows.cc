// The C library has no words for what POSIX gives sockets.
#include <algorithm>
#include <array>
#include <system_error>

#include "base/result.h"

namespace hairpin {

namespace {

struct Words {
  int code;
  const char* text;
};

constexpr std::array<Words, 22> kWords{{
    {EADDRINUSE, "Address already in use"},
    {EADDRNOTAVAIL, "Cannot assign requested address"},
    {EAFNOSUPPORT, "Address family not supported"},
    {EALREADY, "Operation already in progress"},
    {ECANCELED, "Operation canceled"},
    {ECONNABORTED, "Software caused connection abort"},
    {ECONNREFUSED, "Connection refused"},
    {ECONNRESET, "Connection reset by peer"},
    {EHOSTUNREACH, "No route to host"},
    {EINPROGRESS, "Operation now in progress"},
    {EISCONN, "Already connected"},
    {EMSGSIZE, "Message too long"},
    {ENETDOWN, "Network is down"},
    {ENETUNREACH, "Network is unreachable"},
    {ENOBUFS, "No buffer space available"},
    {ENOTCONN, "Not connected"},
    {ENOTSOCK, "Not a socket"},
    {ENOTSUP, "Not supported"},
    {EOPNOTSUPP, "Operation not supported"},
    {EPROTO, "Protocol error"},
    {ETIMEDOUT, "Connection timed out"},
    {EWOULDBLOCK, "Operation would block"},
}};

}  // namespace

std::string errno_text(int code) {
  const auto* found = std::ranges::find(kWords, code, &Words::code);
  return found == kWords.end() ? std::generic_category().message(code) : found->text;
}

}  // namespace hairpin
