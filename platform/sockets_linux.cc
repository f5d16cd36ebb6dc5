#include "platform/sockets.h"

#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR IPV6_ORIGDSTADDR
#endif

namespace hairpin::platform {

namespace {

constexpr int kListenBacklog = 4096;              // what somaxconn is since Linux 5.4
constexpr int kListenerBuffer = 4 * 1024 * 1024;  // bytes; rides out a burst between two reads
constexpr int kOutboundBuffer = 1024 * 1024;      // bytes; there may be thousands of them
constexpr std::size_t kDatagramCapacity = 65536;  // bytes; no UDP payload is larger
constexpr std::size_t kControlCapacity = CMSG_SPACE(sizeof(sockaddr_in6)) + CMSG_SPACE(sizeof(int));
constexpr std::size_t kMaxSegments = 64;  // UDP_MAX_SEGMENTS before Linux 6.9

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

constexpr int kOn = 1;

Result<> bind_to(int socket, const Endpoint& local) {
  sockaddr_storage address{};
  const socklen_t size = local.to_sockaddr(address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return last_error("bind " + local.text());
  }
  return {};
}

Result<> bind_any(int socket, Family family, std::uint16_t port) {
  return bind_to(socket,
                 {family == Family::v4 ? IpAddr() : IpAddr(std::array<std::uint8_t, 16>{}), port});
}

/// Room for what arrives between two reads, and merged datagrams where the kernel has them. Both
/// only make things faster: without, each datagram comes alone.
void expect_bursts(int socket, int buffer) {
  if (!set(socket, SOL_SOCKET, SO_RCVBUFFORCE, buffer, "SO_RCVBUFFORCE")) {
    (void)set(socket, SOL_SOCKET, SO_RCVBUF, buffer, "SO_RCVBUF");
  }
  (void)set(socket, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
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
  if (binding.reuse_address) {
    auto reused = set(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (!reused) return reused.error();
  }
  return fd;
}

}  // namespace

namespace {

/// From a new socket to one that accepts captured connections.
Result<Fd> start_listening(Fd fd, Family family, std::uint16_t port) {
  if (auto ok = set(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"); !ok) return ok.error();
  set_no_delay(fd.get());
  set_urgent_inline(fd.get());
  // The way to the client is this host or its own network (platform/congestion.h). What the kernel
  // does not have is left at its default.
  constexpr std::string_view kCongestion = "cubic";
  (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, kCongestion.data(), kCongestion.size());
  if (auto ok = bind_any(fd.get(), family, port); !ok) return ok.error();
  if (::listen(fd.get(), kListenBacklog) != 0) return last_error("listen");
  return fd;
}

}  // namespace

Result<Fd> listen_transparent_tcp(const TransparentBinding& binding, std::uint16_t port) {
  auto fd = open_transparent(binding, SOCK_STREAM);
  if (!fd) return fd;
  return start_listening(std::move(*fd), binding.family, port);
}

Result<Fd> listen_redirected_tcp(Family family, std::uint16_t port) {
  const int domain = family == Family::v4 ? AF_INET : AF_INET6;
  Fd fd(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket");
  if (family == Family::v6) {
    if (auto ok = set(fd.get(), SOL_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"); !ok) return ok.error();
  }
  // For saved_syn.h.
  if (auto ok = set(fd.get(), IPPROTO_TCP, TCP_SAVE_SYN, 1, "TCP_SAVE_SYN"); !ok) return ok.error();
  return start_listening(std::move(fd), family, port);
}

Result<Endpoint> original_destination(int socket) {
  constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return last_error("getsockname");
  }
  sockaddr_storage address{};
  size = sizeof address;
  const int level = own.ss_family == AF_INET ? SOL_IP : SOL_IPV6;
  if (::getsockopt(socket, level, kOriginalDestination, &address, &size) != 0) {
    return last_error("SO_ORIGINAL_DST");
  }
  return Endpoint::from_sockaddr(address);
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
  expect_bursts(socket, kListenerBuffer);
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

Result<Accepted> accept_tcp(int listener) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Fd fd(
      ::accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return last_error("accept");
  return Accepted{std::move(fd), Endpoint::from_sockaddr(peer)};
}

Result<Fd> start_connect_tcp(const Endpoint& to, const Binding& binding,
                             const Congestion& congestion) {
  auto fd = open_outbound(to.address.family(), SOCK_STREAM, binding, !to.address.is_loopback());
  if (!fd) return std::move(fd.error()).in("connect " + to.text());
  set_no_delay(fd->get());
  congestion.begin(fd->get());
  if (binding.source) {
    // The port is chosen by connect(2), which knows the remote: one port may serve several.
    (void)::setsockopt(fd->get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &kOn, sizeof kOn);
    if (auto bound = bind_to(fd->get(), {*binding.source, 0}); !bound) return bound.error();
  }
  if (binding.fast_open) {
    (void)::setsockopt(fd->get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &kOn, sizeof kOn);
  }
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 &&
      errno != EINPROGRESS) {
    return last_error("connect " + to.text());
  }
  return fd;
}

bool has_fast_open() {
  const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return probe &&
         ::setsockopt(probe.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &kOn, sizeof kOn) == 0;
}

Result<> connect_outcome(int socket, const Endpoint& to) {
  const int code = take_socket_error(socket);
  if (code != 0) return Error{"connect " + to.text(), code};
  return {};
}

Result<Fd> open_udp(Family family, const Binding& binding) {
  auto fd = open_outbound(family, SOCK_DGRAM, binding, true);
  if (!fd) return fd;
  expect_bursts(fd->get(), kOutboundBuffer);
  auto bound =
      binding.source ? bind_to(fd->get(), {*binding.source, 0}) : bind_any(fd->get(), family, 0);
  if (!bound) return bound.error();
  return fd;
}

Result<> connect_udp(int socket, const Endpoint& to) {
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return last_error("connect " + to.text());
  }
  return {};
}

void reset_on_close(int socket) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

Result<std::span<const std::byte>> peek(int socket, std::span<std::byte> into) {
  const ssize_t size = ::recv(socket, into.data(), into.size(), MSG_PEEK | MSG_DONTWAIT);
  if (size < 0) return last_error("recv");
  return std::span<const std::byte>(into.first(static_cast<std::size_t>(size)));
}

void set_low_water(int socket, std::size_t bytes) {
  (void)set(socket, SOL_SOCKET, SO_RCVLOWAT, static_cast<int>(bytes), "SO_RCVLOWAT");
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

std::uint64_t queue_overflows(int socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> values{};
  socklen_t size = sizeof values;
  if (::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, values.data(), &size) != 0) return 0;
  return values[SK_MEMINFO_DROPS];
}

std::size_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

Result<std::size_t> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return last_error("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return last_error("setrlimit");
  return limit.rlim_cur;
}

Burst Burst::part(std::size_t from, std::size_t n) const {
  Burst some = *this;
  some.offset += from * stride;
  some.count = n;
  some.last = size_of(from + n - 1);
  if (n == 1) some.size = some.last;
  return some;
}

Burst Burst::without_front(std::size_t bytes) const {
  Burst rest = *this;
  rest.offset += bytes;
  rest.size -= bytes;
  rest.last -= bytes;
  return rest;
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
    : slots_(std::make_unique<Slots>()), headroom_(headroom) {
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
  received_.reserve(count);
  used_ = count;
}

DatagramBatch::~DatagramBatch() {
  ::munmap(slots_->memory.data(), slots_->memory.size());
}

void DatagramBatch::prepare(std::size_t slot) {
  const auto payload =
      slots_->memory.subspan(slot * slots_->slot_size, slots_->slot_size).subspan(headroom_);
  slots_->vectors[slot] = {payload.data(), payload.size()};
  msghdr& message = slots_->messages[slot].msg_hdr;
  message.msg_name = &slots_->names[slot];
  message.msg_namelen = sizeof(sockaddr_storage);
  message.msg_iov = &slots_->vectors[slot];
  message.msg_iovlen = 1;
  message.msg_control = slots_->controls[slot].data();
  message.msg_controllen = kControlCapacity;
}

namespace {

/// What the kernel tells beside the bytes: where the datagram was going, how it is divided.
struct Beside {
  Endpoint destination;
  std::size_t segment = 0;  ///< 0: one datagram.
};

Beside read_control(msghdr& message) {
  Beside beside;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    const auto is = [control](int level, int type, std::size_t size) {
      return control->cmsg_level == level && control->cmsg_type == type &&
             control->cmsg_len >= CMSG_LEN(size);
    };
    sockaddr_storage address{};
    int segment = 0;
    if (is(SOL_IP, IP_ORIGDSTADDR, sizeof(sockaddr_in))) {
      std::memcpy(&address, CMSG_DATA(control), sizeof(sockaddr_in));
      beside.destination = Endpoint::from_sockaddr(address);
    } else if (is(SOL_IPV6, IPV6_ORIGDSTADDR, sizeof(sockaddr_in6))) {
      std::memcpy(&address, CMSG_DATA(control), sizeof(sockaddr_in6));
      beside.destination = Endpoint::from_sockaddr(address);
    } else if (is(SOL_UDP, UDP_GRO, sizeof segment)) {
      std::memcpy(&segment, CMSG_DATA(control), sizeof segment);
      beside.segment = static_cast<std::size_t>(segment);
    }
  }
  return beside;
}

}  // namespace

/// Datagrams in consecutive slots are a burst too, with the distance of slots as its stride.
bool DatagramBatch::extends_last(std::size_t slot, const Received& next) const {
  if (received_.empty()) return false;
  const Received& open = received_.back();
  const Burst& burst = open.burst;
  const bool one_by_one = burst.count == 1 || burst.stride == slots_->slot_size;
  return one_by_one && next.burst.count == 1 && burst.last == burst.size &&
         next.burst.size <= burst.size && next.burst.size != 0 && burst.count < kMaxSegments &&
         burst.offset + burst.count * slots_->slot_size == slot * slots_->slot_size + headroom_ &&
         next.source == open.source && next.destination == open.destination;
}

Result<std::span<const Received>> DatagramBatch::receive(int socket) {
  for (std::size_t i = 0; i < used_; ++i) prepare(i);
  used_ = 0;
  const std::size_t capacity = slots_->messages.size();
  const int count = ::recvmmsg(socket, slots_->messages.data(), static_cast<unsigned>(capacity),
                               MSG_DONTWAIT, nullptr);
  if (count < 0) return last_error("recvmmsg");
  used_ = static_cast<std::size_t>(count);
  full_ = used_ == capacity;
  received_.clear();
  for (std::size_t i = 0; i < used_; ++i) {
    msghdr& message = slots_->messages[i].msg_hdr;
    const Beside beside = read_control(message);
    const std::size_t size = slots_->messages[i].msg_len;
    Received next{Endpoint::from_sockaddr(slots_->names[i]), beside.destination,
                  Burst::single(slots_->memory, i * slots_->slot_size + headroom_, size)};
    if (beside.segment != 0 && beside.segment < size) {
      Burst& burst = next.burst;
      burst.size = burst.stride = beside.segment;
      burst.count = (size + beside.segment - 1) / beside.segment;
      burst.last = size - (burst.count - 1) * beside.segment;
    }
    if (extends_last(i, next)) {
      Burst& open = received_.back().burst;
      open.stride = slots_->slot_size;
      open.last = next.burst.size;
      ++open.count;
    } else {
      received_.push_back(next);
    }
  }
  return std::span<const Received>(received_);
}

namespace {

/// One sendmsg of several datagrams: header and payload of each, in turn.
ssize_t send_segments(int socket, std::span<const std::byte> header, const Burst& burst,
                      sockaddr_storage* address, socklen_t address_size) {
  std::array<iovec, 2 * kMaxSegments> parts;
  std::size_t used = 0;
  const bool whole = header.empty() && burst.stride == burst.size;
  if (whole) {
    parts[used++] = {burst.memory.data() + burst.offset, burst.total()};
  } else {
    for (std::size_t i = 0; i < burst.count; ++i) {
      if (!header.empty()) {
        parts[used++] = {const_cast<std::byte*>(header.data()), header.size()};
      }
      const auto payload = burst[i];
      parts[used++] = {payload.data(), payload.size()};
    }
  }
  msghdr message{};
  message.msg_name = address;
  message.msg_namelen = address_size;
  message.msg_iov = parts.data();
  message.msg_iovlen = used;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t))> control{};
  if (burst.count > 1) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* segment = CMSG_FIRSTHDR(&message);
    segment->cmsg_level = SOL_UDP;
    segment->cmsg_type = UDP_SEGMENT;
    segment->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto size = static_cast<std::uint16_t>(header.size() + burst.size);
    std::memcpy(CMSG_DATA(segment), &size, sizeof size);
  }
  return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// The socket will not cut datagrams of this size: larger than its path's MTU, or a device that
/// cannot.
bool cannot_segment(int code) {
  return code == EINVAL || code == EMSGSIZE || code == EIO || code == ENOPROTOOPT;
}

}  // namespace

Result<std::size_t> send_burst(int socket, std::span<const std::byte> header, const Burst& burst,
                               const Endpoint* to, SegmentLimit& limit) {
  sockaddr_storage address{};
  const socklen_t address_size = to != nullptr ? to->to_sockaddr(address) : 0;
  sockaddr_storage* name = to != nullptr ? &address : nullptr;
  const std::size_t each = header.size() + burst.size;
  constexpr std::size_t kMaxMessage = 65507;  // bytes; the largest UDP payload over IPv4
  std::size_t at_once =
      std::min(kMaxSegments, each == 0 ? 1 : std::max(kMaxMessage / each, std::size_t{1}));
  if (each >= limit.refused) at_once = 1;
  bool suspected = false;  // refused together; what a single one meets tells whether it was that
  bool retried = false;
  for (std::size_t sent = 0; sent < burst.count;) {
    const std::size_t n = std::min(at_once, burst.count - sent);
    if (send_segments(socket, header, burst.part(sent, n), name, address_size) >= 0) {
      if (suspected) limit.refused = each;
      suspected = false;
      sent += n;
    } else if (n > 1 && cannot_segment(errno)) {
      suspected = true;
      at_once = 1;
    } else if (errno != EAGAIN && !retried) {
      retried = true;  // an ICMP error about an earlier datagram is told once, and nothing was sent
    } else if (sent > 0) {
      return sent;
    } else {
      return last_error(to != nullptr ? "send to " + to->text() : "send");
    }
  }
  return burst.count;
}

}  // namespace hairpin::platform
