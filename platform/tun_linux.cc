#include "platform/tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "base/address.h"

// Debian 12's headers are of Linux 6.1; these came with 6.2. Older kernels refuse them: we fall
// back.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace hairpin::platform {

namespace {

constexpr const char* kDevice = "/dev/net/tun";

void copy_name(ifreq& request, const std::string& name) {
  std::strncpy(static_cast<char*>(request.ifr_name), name.c_str(), IFNAMSIZ - 1);
}

Result<Fd> open_queue(const TunOptions& options, std::string& name) {
  Fd fd(::open(kDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return last_error(std::string("open ") + kDevice);
  ifreq request{};
  copy_name(request, name);
  unsigned flags = IFF_TUN | IFF_NO_PI;
  if (options.vnet_header) flags |= IFF_VNET_HDR;
  if (options.queues > 1) flags |= IFF_MULTI_QUEUE;
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return last_error("TUNSETIFF " + name);
  name = static_cast<const char*>(request.ifr_name);
  return fd;
}

Result<Fd> open_writer(const Tun& tun, const TunOptions& options) {
  if (tun.queues.size() == 1) return duplicate(tun.queues.front().get());
  std::string name = tun.name;
  auto writer = open_queue(options, name);
  if (!writer) return writer;
  ifreq request{};
  request.ifr_flags = IFF_DETACH_QUEUE;
  if (::ioctl(writer->get(), TUNSETQUEUE, &request) != 0) return last_error("TUNSETQUEUE");
  return writer;
}

/// Offloads are a property of the device, set through any queue. Each step down is what an older
/// kernel can do.
void request_offloads(Tun& tun, bool udp) {
  const int fd = tun.queues.front().get();
  constexpr unsigned long kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  if (udp && ::ioctl(fd, TUNSETOFFLOAD, kTcp | TUN_F_USO4 | TUN_F_USO6) == 0) {
    tun.segments_tcp = tun.segments_udp = true;
  } else if (::ioctl(fd, TUNSETOFFLOAD, kTcp) == 0) {
    tun.segments_tcp = true;
  } else {
    (void)::ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(TUN_F_CSUM));
  }
}

}  // namespace

Result<Fd> duplicate(int fd) {
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return last_error("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

Result<Tun> open_tun(const TunOptions& options) {
  if (options.name.size() >= IFNAMSIZ) {
    return Error{"interface name " + options.name + " (at most 15 characters)", ENAMETOOLONG};
  }
  // TUNSETIFF would attach to a device of that name that is there already (a persistent one, or one
  // more queue of somebody's): never take what is not ours.
  if (!options.name.empty() && if_nametoindex(options.name.c_str()) != 0) {
    return Error{"interface " + options.name + " exists already", EBUSY};
  }
  Tun tun;
  tun.name = options.name;
  tun.vnet_header = options.vnet_header;
  for (unsigned i = 0; i < std::max(1U, options.queues); ++i) {
    auto queue = open_queue(options, tun.name);
    if (!queue) return queue.error();
    tun.queues.push_back(std::move(*queue));
  }
  auto writer = open_writer(tun, options);
  if (!writer) return writer.error();
  tun.writer = std::move(*writer);
  if (options.vnet_header) request_offloads(tun, options.segment_udp);
  return tun;
}

Result<Tun> adopt_tun(int fd, const std::string& name) {
  const std::string what = "descriptor " + std::to_string(fd);
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) {
    const int code = errno;
    return Error{what + (code == EBADF ? " is not open" : " is not a TUN device"), code};
  }
  const auto flags = static_cast<unsigned short>(request.ifr_flags);
  const std::string actual = static_cast<const char*>(request.ifr_name);
  if ((flags & IFF_TUN) == 0) return Error{what + " (" + actual + ") is a TAP device, not a TUN"};
  if ((flags & IFF_NO_PI) == 0) {
    return Error{what + " (" + actual + ") was opened without IFF_NO_PI: its packets carry an " +
                 "information header"};
  }
  if (!name.empty() && name != actual) {
    return Error{what + " is the device " + actual + ", but interface_name is " + name};
  }
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return last_error("fcntl " + what);
  }
  auto writer = duplicate(fd);
  if (!writer) return writer.error();
  Tun tun;
  tun.name = actual;
  tun.queues.emplace_back(fd);
  tun.writer = std::move(*writer);
  tun.vnet_header = (flags & IFF_VNET_HDR) != 0;
  if (tun.vnet_header) {
    int size = 10;  // the layout that nat::VnetHeader has
    if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
      tun.queues.front().release();
      return last_error("TUNSETVNETHDRSZ " + actual);
    }
    request_offloads(tun, true);
  }
  return tun;
}

Result<int> tun_fd_from_environment() {
  for (const char* variable : {"HAIRPIN_TUN_FD", "XRAY_TUN_FD", "xray.tun.fd"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') continue;
    const auto fd = parse_number(value, 1 << 20);
    if (!fd || *fd < 3) {
      return Error{std::string(variable) + "=" + value +
                   ": expected the number of an open descriptor, 3 or higher"};
    }
    return static_cast<int>(*fd);
  }
  return -1;
}

}  // namespace hairpin::platform
