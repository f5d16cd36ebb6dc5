#include "platform/sockets.h"

#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR IPV6_ORIGDSTADDR
#endif

namespace hairpin::platform {

namespace {

constexpr int kListenBacklog = 4096;                // what somaxconn is since Linux 5.4
constexpr int kUdpReceiveBuffer = 4 * 1024 * 1024;  // bytes; rides out a burst between two reads
constexpr std::size_t kDatagramCapacity = 65536;    // bytes; no UDP payload is larger
constexpr std::size_t kControlCapacity = 64;        // bytes; one sockaddr_in6 with its header

Result<> set(int socket, int level, int option, int value, const char* name) {
  if (::setsockopt(socket, level, option, &value, sizeof value) != 0) return last_error(name);
  return {};
}

Result<Fd> open_socket(Family family, int type) {
  Fd fd(
      ::socket(family == Family::v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket");
  return fd;
}

Result<> bind_to_device(int socket, const std::string& interface) {
  if (::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, interface.data(),
                   static_cast<socklen_t>(interface.size())) != 0) {
    return last_error("SO_BINDTODEVICE " + interface);
  }
  return {};
}

Result<Fd> open_transparent(const TransparentBinding& binding, int type) {
  const Family family = binding.family;
  auto fd = open_socket(family, type);
  if (!fd) return fd;
  const int socket = fd->get();
  Result<> ok = set(socket, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  if (ok && family == Family::v4) ok = set(socket, SOL_IP, IP_TRANSPARENT, 1, "IP_TRANSPARENT");
  if (ok && family == Family::v6) {
    ok = set(socket, SOL_IPV6, IPV6_TRANSPARENT, 1, "IPV6_TRANSPARENT");
    if (ok) ok = set(socket, SOL_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY");
  }
  if (ok) ok = set(socket, SOL_SOCKET, SO_MARK, static_cast<int>(binding.mark.value()), "SO_MARK");
  if (ok) ok = bind_to_device(socket, binding.interface);
  if (!ok) return ok.error();
  return fd;
}

Result<> bind_any(int socket, Family family, std::uint16_t port) {
  const Endpoint any{family == Family::v4 ? IpAddr() : IpAddr(std::array<std::uint8_t, 16>{}),
                     port};
  sockaddr_storage address{};
  const socklen_t size = any.to_sockaddr(address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return last_error("bind " + any.text());
  }
  return {};
}

Result<Fd> open_outbound(Family family, int type, const Binding& binding, bool may_bind) {
  auto fd = open_socket(family, type);
  if (!fd) return fd;
  if (binding.mark) {
    auto marked =
        set(fd->get(), SOL_SOCKET, SO_MARK, static_cast<int>(binding.mark.value()), "SO_MARK");
    if (!marked) return marked.error();
  }
  if (may_bind && !binding.interface.empty()) {
    if (auto bound = bind_to_device(fd->get(), binding.interface); !bound) return bound.error();
  }
  return fd;
}

}  // namespace

Result<Fd> listen_transparent_tcp(const TransparentBinding& binding, std::uint16_t port) {
  auto fd = open_transparent(binding, SOCK_STREAM);
  if (!fd) return fd;
  if (auto ok = set(fd->get(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"); !ok) return ok.error();
  if (auto ok = bind_any(fd->get(), binding.family, port); !ok) return ok.error();
  if (::listen(fd->get(), kListenBacklog) != 0) return last_error("listen");
  return fd;
}

Result<Fd> open_transparent_udp(const TransparentBinding& binding) {
  const Family family = binding.family;
  auto fd = open_transparent(binding, SOCK_DGRAM);
  if (!fd) return fd;
  const int socket = fd->get();
  auto ok = family == Family::v4
                ? set(socket, SOL_IP, IP_RECVORIGDSTADDR, 1, "IP_RECVORIGDSTADDR")
                : set(socket, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1, "IPV6_RECVORIGDSTADDR");
  if (!ok) return ok.error();
  if (!set(socket, SOL_SOCKET, SO_RCVBUFFORCE, kUdpReceiveBuffer, "SO_RCVBUFFORCE")) {
    (void)set(socket, SOL_SOCKET, SO_RCVBUF, kUdpReceiveBuffer, "SO_RCVBUF");
  }
  if (auto bound = bind_any(socket, family, 0); !bound) return bound.error();
  return fd;
}

Result<Endpoint> local_endpoint(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return last_error("getsockname");
  }
  return Endpoint::from_sockaddr(address);
}

Result<Endpoint> peer_endpoint(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return last_error("getpeername");
  }
  return Endpoint::from_sockaddr(address);
}

Result<std::uint16_t> local_port(int socket) {
  const auto endpoint = local_endpoint(socket);
  if (!endpoint) return endpoint.error();
  return endpoint->port;
}

Result<Fd> accept_tcp(int listener) {
  Fd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return last_error("accept");
  return fd;
}

Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding) {
  auto fd = open_outbound(to.address.family(), SOCK_STREAM, binding, !to.address.is_loopback());
  if (!fd) return std::move(fd.error()).in("connect " + to.text());
  set_no_delay(fd->get());
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS) {
    return last_error("connect " + to.text());
  }
  return fd;
}

Result<> connect_outcome(int socket, const Endpoint& to) {
  const int code = take_socket_error(socket);
  if (code != 0) return Error{"connect " + to.text(), code};
  return {};
}

Result<Fd> open_udp(Family family, const Binding& binding) {
  auto fd = open_outbound(family, SOCK_DGRAM, binding, true);
  if (!fd) return fd;
  if (auto bound = bind_any(fd->get(), family, 0); !bound) return bound.error();
  return fd;
}

void reset_on_close(int socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void set_no_delay(int socket) {
  (void)set(socket, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
}

void set_urgent_inline(int socket) {
  (void)set(socket, SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE");
}

int take_socket_error(int socket) {
  int code = 0;
  socklen_t size = sizeof code;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size) != 0) return errno;
  return code;
}

Result<std::size_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return last_error("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return last_error("setrlimit");
  return limit.rlim_cur;
}

struct DatagramBatch::Slots {
  std::size_t slot_size;
  std::span<std::byte> memory;
  std::vector<mmsghdr> messages;
  std::vector<iovec> vectors;
  std::vector<sockaddr_storage> names;
  std::vector<std::array<std::byte, kControlCapacity>> controls;
};

DatagramBatch::DatagramBatch(std::size_t count, std::size_t headroom)
    : slots_(std::make_unique<Slots>()), datagrams_(count), headroom_(headroom) {
  slots_->slot_size = headroom + kDatagramCapacity;
  // Anonymous memory straight from the kernel: pages come into being when a datagram fills them.
  void* memory = ::mmap(nullptr, slots_->slot_size * count, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  slots_->memory = {static_cast<std::byte*>(memory), slots_->slot_size * count};
  slots_->messages.resize(count);
  slots_->vectors.resize(count);
  slots_->names.resize(count);
  slots_->controls.resize(count);
}

DatagramBatch::~DatagramBatch() {
  ::munmap(slots_->memory.data(), slots_->memory.size());
}

std::span<std::byte> DatagramBatch::buffer(std::size_t index) {
  return slots_->memory.subspan(index * slots_->slot_size, slots_->slot_size);
}

namespace {

Endpoint original_destination(msghdr& message) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    const bool v4 = control->cmsg_level == SOL_IP && control->cmsg_type == IP_ORIGDSTADDR;
    const bool v6 = control->cmsg_level == SOL_IPV6 && control->cmsg_type == IPV6_ORIGDSTADDR;
    if (!v4 && !v6) continue;
    sockaddr_storage address{};
    std::memcpy(&address, CMSG_DATA(control), v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    return Endpoint::from_sockaddr(address);
  }
  return {};
}

}  // namespace

Result<std::span<const Datagram>> DatagramBatch::receive(int socket) {
  const std::size_t count = datagrams_.size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto payload = buffer(i).subspan(headroom_);
    slots_->vectors[i] = {payload.data(), payload.size()};
    msghdr& message = slots_->messages[i].msg_hdr;
    message.msg_name = &slots_->names[i];
    message.msg_namelen = sizeof(sockaddr_storage);
    message.msg_iov = &slots_->vectors[i];
    message.msg_iovlen = 1;
    message.msg_control = slots_->controls[i].data();
    message.msg_controllen = kControlCapacity;
  }
  const int received = ::recvmmsg(socket, slots_->messages.data(), static_cast<unsigned>(count),
                                  MSG_DONTWAIT, nullptr);
  if (received < 0) return last_error("recvmmsg");
  for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
    datagrams_[i] = {Endpoint::from_sockaddr(slots_->names[i]),
                     original_destination(slots_->messages[i].msg_hdr), headroom_,
                     slots_->messages[i].msg_len};
  }
  return std::span<const Datagram>(datagrams_).first(static_cast<std::size_t>(received));
}

Result<> send_datagram(int socket, std::span<const std::byte> header,
                       std::span<const std::byte> payload, const Endpoint& to) {
  sockaddr_storage address{};
  std::array<iovec, 2> parts{{{const_cast<std::byte*>(header.data()), header.size()},
                              {const_cast<std::byte*>(payload.data()), payload.size()}}};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = to.to_sockaddr(address);
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    return last_error("send to " + to.text());
  }
  return {};
}

}  // namespace hairpin::platform
