// Datagrams in bursts: many in one system call, those of one sender together.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "platform/sockets.h"

namespace hairpin::platform {

namespace {

constexpr std::size_t kDatagramCapacity = 65536;  // bytes; no UDP payload is larger
constexpr std::size_t kControlCapacity = CMSG_SPACE(sizeof(sockaddr_in6)) + CMSG_SPACE(sizeof(int));

}  // namespace

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
    append(i, slots_->slot_size, next);
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
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(used);
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
