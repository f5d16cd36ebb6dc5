// What is the same on all systems: packets in batches, and settings of the interface.
#include "platform/device/device.h"

#include <algorithm>
#include <array>

#include "platform/device/impl.h"

namespace hairpin::device {

namespace {

bool asks_for_nothing(const nat::VnetHeader& header) {
  return (header.flags & nat::VnetHeader::kNeedsChecksum) == 0 &&
         header.gso_type == nat::VnetHeader::kGsoNone;
}

/// The same wait for several calls: it ends when it would have ended.
class Deadline {
 public:
  explicit Deadline(const Wait& wait) : wait_(wait) {
    if (wait.timeout) end_ = std::chrono::steady_clock::now() + *wait.timeout;
  }
  Wait left() const {
    Wait left = wait_;
    if (left.timeout && left.timeout->count() != 0) {
      const auto rest = end_ - std::chrono::steady_clock::now();
      left.timeout = std::max(std::chrono::ceil<std::chrono::milliseconds>(rest),
                              std::chrono::milliseconds{1});
    }
    return left;
  }

 private:
  Wait wait_;
  std::chrono::steady_clock::time_point end_;
};

}  // namespace

Device::Device(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

// ---- packets
// -------------------------------------------------------------------------------------

Result<std::size_t> Device::read(std::span<std::byte> packet, const Wait& wait) {
  if (impl_->offload) return Error{"read: the device has offload, so a header is needed", EINVAL};
  nat::VnetHeader header;
  return read(std::span(&packet, 1), header, wait);
}

Result<std::size_t> Device::read(std::span<std::byte> packet, nat::VnetHeader& header,
                                 const Wait& wait) {
  return read(std::span(&packet, 1), header, wait);
}

Result<std::size_t> Device::read(std::span<const std::span<std::byte>> parts,
                                 nat::VnetHeader& header, const Wait& wait) {
  return impl_->queue->read(parts, header, wait);
}

Result<> Device::write(std::span<const std::byte> packet, const Wait& wait) {
  return write(std::span(&packet, 1), {}, wait);
}

Result<> Device::write(std::span<const std::byte> packet, const nat::VnetHeader& header,
                       const Wait& wait) {
  return write(std::span(&packet, 1), header, wait);
}

Result<> Device::write(std::span<const std::span<const std::byte>> parts,
                       const nat::VnetHeader& header, const Wait& wait) {
  if (!impl_->offload && !asks_for_nothing(header)) {
    return Error{"write: the device has no offload", ENOTSUP};
  }
  return impl_->queue->write(parts, header, wait);
}

Result<std::size_t> Device::read_batch(Batch& batch, const Wait& wait) {
  batch.clear();
  const Deadline deadline(wait);
  if (impl_->offload) batch.take_segments();  // of the last read's last packet
  while (!batch.is_full()) {
    const std::span<std::byte> into = impl_->offload ? batch.whole() : batch.room();
    nat::VnetHeader header;
    const auto got = read(into, header, batch.size() == 0 ? deadline.left() : kDoNotWait);
    if (!got && got.error().code == EMSGSIZE) {
      ++batch.oversized_;
    } else if (!got) {
      if (batch.size() == 0) return got;
      break;  // whatever it is, the next call meets it too
    } else if (!impl_->offload) {
      batch.sizes_[batch.used_++] = *got;
    } else if (batch.segmenter_.begin(header, into.first(*got), link_size(into.first(*got)))) {
      batch.take_segments();
    } else {
      ++batch.malformed_;
    }
  }
  return batch.size();
}

std::size_t Device::link_size(std::span<const std::byte> packet) const {
  return impl_->layer == Layer::ethernet ? nat::ethernet_header_size(packet) : 0;
}

namespace {

/// Counts what the device takes. Returns false when there is no point in going on.
class Taken {
 public:
  bool note(const Result<>& written, std::size_t packets) {
    if (written) {
      packets_ += packets;
      return true;
    }
    if (!first_error_) first_error_ = written.error();
    const int code = written.error().code;
    return code != ESHUTDOWN && code != EINTR && code != EAGAIN && code != ETIMEDOUT;
  }
  Result<std::size_t> result() const {
    if (packets_ == 0 && first_error_) return *first_error_;
    return packets_;
  }

 private:
  std::size_t packets_ = 0;
  std::optional<Error> first_error_;
};

}  // namespace

Result<std::size_t> Device::write_batch(std::span<const std::span<const std::byte>> packets,
                                        const Wait& wait) {
  const Deadline deadline(wait);
  Taken taken;
  if (!impl_->offload) {
    for (const auto packet : packets) {
      if (!taken.note(write(packet, deadline.left()), 1)) break;
    }
    return taken.result();
  }
  const std::lock_guard lock(impl_->coalescing);
  auto& coalescer = impl_->coalescer;
  if (!coalescer) {
    constexpr std::size_t kEthernet = 14;  // frames with tags are written as they are
    coalescer = std::make_unique<nat::Coalescer>(
        nat::CoalescerOptions{.tcp = impl_->segments_tcp,
                              .udp = impl_->segments_udp,
                              .link_size = impl_->layer == Layer::ethernet ? kEthernet : 0});
  }
  while (!packets.empty()) {
    coalescer->clear();
    std::size_t added = 0;
    while (added < packets.size() && coalescer->add(packets[added])) ++added;
    packets = packets.subspan(added);
    for (std::size_t i = 0; i < coalescer->size(); ++i) {
      const nat::Coalesced one = (*coalescer)[i];
      if (!taken.note(write(one.parts, one.header, deadline.left()), one.packets)) {
        return taken.result();
      }
    }
  }
  return taken.result();
}

void Device::shutdown() {
  impl_->queue->shutdown();
}

bool Device::is_shut_down() const {
  return impl_->queue->is_shut_down();
}

Result<> Device::set_packet_information(bool shown) {
  if (shown && impl_->offload) {
    return Error{"packet information of a device with offload", ENOTSUP};
  }
  impl_->queue->set_packet_information(shown);
  return {};
}

bool Device::packet_information() const {
  return impl_->queue->packet_information();
}

// ---- what it is
// ----------------------------------------------------------------------------------

Layer Device::layer() const {
  return impl_->layer;
}

bool Device::has_offload() const {
  return impl_->offload;
}

bool Device::segments_tcp() const {
  return impl_->segments_tcp;
}

bool Device::segments_udp() const {
  return impl_->segments_udp;
}

bool Device::is_multi_queue() const {
  return impl_->multi_queue;
}

Result<IfIndex> Device::index() const {
  const auto now = name();
  if (!now) return now.error();
  return find_interface(*now);
}

// ---- settings
// ------------------------------------------------------------------------------------

namespace {

/// Calls `act` with the interface's number.
template <class Act>
auto with_index(const Device& device, Act act) -> decltype(act(IfIndex{})) {
  const auto index = device.index();
  if (!index) return index.error();
  return act(*index);
}

}  // namespace

Result<InterfaceState> Device::state() const {
  return with_index(*this, [](IfIndex index) { return interface_state(index); });
}

Result<> Device::change(const InterfaceChange& change) const {
  return with_index(*this, [&](IfIndex index) { return change_interface(index, change); });
}

Result<std::vector<InterfaceAddress>> Device::addresses() const {
  return with_index(*this, [](IfIndex index) { return interface_addresses(index); });
}

Result<> Device::add_address(const InterfaceAddress& address) const {
  return with_index(*this, [&](IfIndex index) { return device::add_address(index, address); });
}

Result<> Device::remove_address(const IpAddr& address) const {
  return with_index(*this, [&](IfIndex index) { return device::remove_address(index, address); });
}

Result<> Device::set_addresses(const std::vector<InterfaceAddress>& addresses) const {
  return with_index(*this, [&](IfIndex index) { return device::set_addresses(index, addresses); });
}

Result<> Device::set_broadcast(const IpAddr& address, const IpAddr& broadcast) const {
  return with_index(
      *this, [&](IfIndex index) { return device::set_broadcast(index, address, broadcast); });
}

}  // namespace hairpin::device
