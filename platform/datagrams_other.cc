// Datagrams, one for each system call. They still are put together into bursts, so that each is
// routed once.
#include <array>
#include <cstddef>

#include "platform/datagram_call.h"
#include "platform/sockets.h"

namespace hairpin::platform {

namespace {

constexpr std::size_t kDatagramCapacity = 65536;  // bytes; no UDP payload is larger
constexpr std::size_t kSockaddr = 128;            // bytes; as large as any

}  // namespace

struct DatagramBatch::Slots {
  Slots(std::size_t each, std::size_t number)
      : slot_size(each), count(number), memory(each * number) {}
  std::size_t slot_size;
  std::size_t count;
  LazyMemory memory;
};

DatagramBatch::DatagramBatch(std::size_t count, std::size_t headroom)
    : slots_(std::make_unique<Slots>(headroom + kDatagramCapacity, count)), headroom_(headroom) {
  received_.reserve(count);
}

DatagramBatch::~DatagramBatch() = default;

Result<std::span<const Received>> DatagramBatch::receive(int socket) {
  received_.clear();
  const auto memory = slots_->memory.bytes();
  for (used_ = 0; used_ < slots_->count; ++used_) {
    const std::size_t offset = used_ * slots_->slot_size + headroom_;
    const auto got = receive_datagram(socket, memory.subspan(offset, kDatagramCapacity));
    if (!got && used_ == 0) return got.error();
    if (!got) break;
    const Received next{got->source, Endpoint(), Burst::single(memory, offset, got->size)};
    append(used_, slots_->slot_size, next);
  }
  full_ = used_ == slots_->count;
  return std::span<const Received>(received_);
}

Result<std::size_t> send_burst(int socket, std::span<const std::byte> header, const Burst& burst,
                               const Endpoint* to, SegmentLimit& /*limit*/) {
  alignas(std::max_align_t) std::array<std::byte, kSockaddr> memory{};
  auto* address = reinterpret_cast<sockaddr_storage*>(memory.data());
  const std::uint32_t size = to != nullptr ? to->to_sockaddr(*address) : 0;
  for (std::size_t i = 0; i < burst.count; ++i) {
    auto sent = send_datagram(socket, header, burst[i], to != nullptr ? address : nullptr, size);
    if (sent) continue;
    if (i > 0) return i;
    return Error{to != nullptr ? "send to " + to->text() : "send", sent.error().code};
  }
  return burst.count;
}

}  // namespace hairpin::platform
