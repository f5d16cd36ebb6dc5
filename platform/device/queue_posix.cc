#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

#include "platform/device/descriptor_queue.h"
#include "platform/device/interrupt.h"

namespace hairpin::device {

namespace {

using Clock = std::chrono::steady_clock;

/// What readv(2) and writev(2) take: what the system puts before a packet, the packet, and one byte
/// more than its parts hold, so that a longer packet is seen.
class Vector {
 public:
  void add(const void* data, std::size_t size) {
    if (size == 0) return;
    parts_[used_++] = {const_cast<void*>(data), size};
    bytes_ += size;
  }
  template <class PartType>
  void add_without_front(std::span<const PartType> parts, std::size_t front) {
    for (const PartType part : parts) {
      const std::size_t skipped = std::min(front, part.size());
      front -= skipped;
      add(part.data() + skipped, part.size() - skipped);
    }
  }
  const iovec* data() const { return parts_.data(); }
  int size() const { return static_cast<int>(used_); }
  std::size_t bytes() const { return bytes_; }

 private:
  std::array<iovec, Queue::kMaxParts + 3> parts_;
  std::size_t used_ = 0;
  std::size_t bytes_ = 0;
};

/// What tells a packet's kind: an Ethernet header, behind packet information. The first part that
/// is read into has to hold it.
constexpr std::size_t kInformationRoom = kFramingSize + 14;

template <class PartType>
bool fits(std::span<const PartType> parts, std::size_t front) {
  return !parts.empty() && parts.size() <= Queue::kMaxParts && parts.front().size() >= front;
}

/// Nothing to read is no news: it costs no text.
Error failure(const char* call, const std::string& what) {
  if (errno == EAGAIN) return Error{call, EAGAIN};
  return last_error(std::string(call) + " " + what);
}

Clock::time_point end_of(const Wait& wait) {
  return wait.timeout ? Clock::now() + *wait.timeout : Clock::time_point::max();
}

}  // namespace

Result<std::unique_ptr<DescriptorQueue>> DescriptorQueue::create(Fd fd, QueueShape shape,
                                                                 std::string what) {
  auto event = Event::open();
  if (!event) return event.error();
  return std::make_unique<DescriptorQueue>(std::move(fd), std::move(*event), shape,
                                           std::move(what));
}

DescriptorQueue::DescriptorQueue(Fd fd, Fd event, QueueShape shape, std::string what)
    : fd_(std::move(fd)), shutdown_(std::move(event)), shape_(shape), what_(std::move(what)) {}

Result<> DescriptorQueue::allowed(const Wait& wait) const {
  if (is_shut_down()) return Error{"shutdown", ESHUTDOWN};
  if (wait.interrupt != nullptr && wait.interrupt->triggered()) return Error{"interrupt", EINTR};
  return {};
}

Result<> DescriptorQueue::await(short events, const Wait& wait, Clock::time_point end) {
  std::array<pollfd, 3> waited{{{fd_.get(), events, 0}, {shutdown_.descriptor(), POLLIN, 0}, {}}};
  waited[2] = {wait.interrupt == nullptr ? -1 : wait.interrupt->event().descriptor(), POLLIN, 0};
  int milliseconds = -1;
  if (wait.timeout) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (wait.timeout->count() == 0) return Error{"wait", EAGAIN};
    if (left <= 0) return Error{"wait", ETIMEDOUT};
    milliseconds = static_cast<int>(std::min<decltype(left)>(left, 1 << 30));
  }
  // Who has woken us is asked by the next round.
  if (::poll(waited.data(), waited.size(), milliseconds) < 0 && errno != EINTR) {
    return last_error("poll " + what_);
  }
  return {};
}

FramingBytes DescriptorQueue::information_before(Part front, std::size_t packet,
                                                 const FramingBytes& framing) const {
  if (shape_.framing == Framing::information) return framing;
  std::uint16_t type = ether_type_in(shape_.framing, framing);
  if (shape_.framing == Framing::bare) {
    const Part seen = front.subspan(kFramingSize);
    type = ether_type_of(seen.first(std::min(packet, seen.size())), shape_.layer);
  }
  return framing_bytes(Framing::information, type);
}

FramingBytes DescriptorQueue::framing_before(ConstPart front, bool information) const {
  if (!information) return framing_bytes(shape_.framing, ether_type_of(front, shape_.layer));
  FramingBytes given{};
  std::ranges::copy(front.first(kFramingSize), given.begin());
  return framing_bytes(shape_.framing, ether_type_in(Framing::information, given));
}

Result<std::size_t> DescriptorQueue::read_once(std::span<const Part> parts,
                                               nat::VnetHeader& header) {
  const bool information = information_.load(std::memory_order_relaxed);
  if (!fits(parts, information ? kInformationRoom : 0)) return Error{"read: parts", EINVAL};
  FramingBytes framing{};
  std::byte beyond{};
  Vector vector;
  if (shape_.framing != Framing::bare) vector.add(framing.data(), framing.size());
  if (shape_.vnet_header) vector.add(&header, sizeof header);
  const std::size_t before = vector.bytes();
  vector.add_without_front(parts, information ? kFramingSize : 0);
  const std::size_t room = vector.bytes();
  vector.add(&beyond, sizeof beyond);
  const ssize_t got = ::readv(fd_.get(), vector.data(), vector.size());
  if (got < 0) return failure("read", what_);
  const auto size = static_cast<std::size_t>(got);
  if (size > room) return Error{"read " + what_ + ": packet longer than the buffer", EMSGSIZE};
  if (size <= before) return Error{"read " + what_ + ": closed", ESHUTDOWN};
  const std::size_t packet = size - before;
  if (!information) return packet;
  const Part front = parts.front();
  std::ranges::copy(information_before(front, packet, framing), front.begin());
  return packet + kFramingSize;
}

Result<> DescriptorQueue::write_once(std::span<const ConstPart> parts,
                                     const nat::VnetHeader& header) {
  const bool information = information_.load(std::memory_order_relaxed);
  if (!fits(parts, information ? kFramingSize : 0)) return Error{"write: parts", EINVAL};
  FramingBytes framing{};
  Vector vector;
  if (shape_.framing != Framing::bare) {
    framing = framing_before(parts.front(), information);
    vector.add(framing.data(), framing.size());
  }
  if (shape_.vnet_header) vector.add(&header, sizeof header);
  vector.add_without_front(parts, information ? kFramingSize : 0);
  if (::writev(fd_.get(), vector.data(), vector.size()) < 0) return failure("write", what_);
  return {};
}

Result<std::size_t> DescriptorQueue::read(std::span<const Part> parts, nat::VnetHeader& header,
                                          const Wait& wait) {
  header = {};
  const auto end = end_of(wait);
  for (;;) {
    if (auto may = allowed(wait); !may) return may.error();
    auto got = read_once(parts, header);
    if (got || (got.error().code != EAGAIN && got.error().code != EINTR)) return got;
    if (auto ready = await(POLLIN, wait, end); !ready) return ready.error();
  }
}

Result<> DescriptorQueue::write(std::span<const ConstPart> parts, const nat::VnetHeader& header,
                                const Wait& wait) {
  const auto end = end_of(wait);
  for (;;) {
    if (auto may = allowed(wait); !may) return may;
    auto sent = write_once(parts, header);
    if (sent || (sent.error().code != EAGAIN && sent.error().code != EINTR)) return sent;
    if (auto ready = await(POLLOUT, wait, end); !ready) return ready;
  }
}

}  // namespace hairpin::device
