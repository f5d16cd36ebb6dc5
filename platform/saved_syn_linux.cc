#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "platform/saved_syn.h"

namespace hairpin::platform {

std::span<std::byte> take_saved_syn(int socket, std::span<std::byte> into) {
  auto size = static_cast<socklen_t>(into.size());
  if (::getsockopt(socket, IPPROTO_TCP, TCP_SAVED_SYN, into.data(), &size) != 0) return {};
  return into.first(size);
}

}  // namespace hairpin::platform
