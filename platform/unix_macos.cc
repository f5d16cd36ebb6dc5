#include "platform/unix_macos.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace hairpin::platform {

Result<Fd> open_socket(int domain, int type, int protocol, const char* what) {
  Fd fd(::socket(domain, type, protocol));
  if (!fd) return last_error(what);
  return prepared(std::move(fd));
}

Result<Fd> prepared(Fd fd) {
  if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) return last_error("FD_CLOEXEC");
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return last_error("O_NONBLOCK");
  constexpr int kOn = 1;
  // Not of control sockets, which raise none.
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_NOSIGPIPE, &kOn, sizeof kOn);
  return fd;
}

}  // namespace hairpin::platform
