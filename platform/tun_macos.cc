#include "platform/tun.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>

#include "platform/utun.h"

namespace hairpin::platform {

namespace {

// Of net/if_utun.h and sys/sys_domain.h.
constexpr int kOptionName = 2;       // UTUN_OPT_IFNAME
constexpr int kProtocolControl = 2;  // SYSPROTO_CONTROL

/// Bytes that wait in a control socket (ctl_recvsize of the kernel's if_utun.c).
constexpr std::size_t kRoom = 512 * 1024;

Result<Tun> tun_of(std::string name, Fd socket) {
  auto writer = duplicate(socket.get());
  if (!writer) return writer.error();
  Tun tun;
  tun.name = std::move(name);
  tun.queues.push_back(std::move(socket));
  tun.writer = std::move(*writer);
  tun.room = kRoom;
  return tun;
}

}  // namespace

Result<Tun> open_tun(const TunOptions& options) {
  auto utun = open_utun(options.name);
  if (!utun) return utun.error();
  return tun_of(std::move(utun->name), std::move(utun->socket));
}

Result<Tun> adopt_tun(int fd, const std::string& name) {
  const std::string which = "descriptor " + std::to_string(fd);
  std::array<char, IFNAMSIZ> actual{};
  socklen_t size = actual.size();
  if (::getsockopt(fd, kProtocolControl, kOptionName, actual.data(), &size) != 0) {
    return last_error(which + " is no utun");
  }
  if (!name.empty() && name != actual.data()) {
    return Error{which + " is the device " + actual.data() + ", but interface_name is " + name};
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return last_error(which);
  auto owned = duplicate(fd);  // the caller's as long as something can fail
  if (!owned) return owned.error();
  auto tun = tun_of(actual.data(), std::move(*owned));
  if (tun) (void)Fd(fd);
  return tun;
}

Result<std::size_t> read_frame(int queue, std::span<std::byte> into) {
  return read_packet(queue, into);
}

Result<> write_frame(int writer, std::span<const std::span<const std::byte>> pieces) {
  return write_packet(writer, pieces);
}

Result<Fd> duplicate(int fd) {
  constexpr int kBehindStandard = 3;
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, kBehindStandard));
  if (!copy) return last_error("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

}  // namespace hairpin::platform
