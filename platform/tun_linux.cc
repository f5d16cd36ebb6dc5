#include "platform/tun.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/address.h"
#include "platform/device/device.h"

namespace hairpin::platform {

namespace {

/// What writes where `first` is not the only queue: see Tun.
Result<Fd> open_writer(const device::Device& first) {
  if (!first.is_multi_queue()) return duplicate(first.descriptor());
  auto writer = first.clone();
  if (!writer) return writer.error();
  if (auto done = writer->set_attached(false); !done) return done.error();
  return Fd(writer->release());
}

void take_over(device::Device& device, Tun& tun) {
  tun.vnet_header = device.has_offload();
  tun.segments_tcp = device.segments_tcp();
  tun.segments_udp = device.segments_udp();
  tun.queues.emplace_back(device.release());
}

}  // namespace

Result<std::size_t> read_frame(int queue, std::span<std::byte> into) {
  const ssize_t size = ::read(queue, into.data(), into.size());
  if (size < 0) return last_error("read");
  return static_cast<std::size_t>(size);
}

Result<> write_frame(int writer, std::span<const std::span<const std::byte>> pieces) {
  constexpr std::size_t kMaxPieces = 66;
  std::array<iovec, kMaxPieces> parts;
  const std::size_t count = std::min(pieces.size(), kMaxPieces);
  for (std::size_t i = 0; i < count; ++i) {
    parts[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
  }
  if (::writev(writer, parts.data(), static_cast<int>(count)) < 0) return last_error("write");
  return {};
}

Result<Fd> duplicate(int fd) {
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return last_error("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

Result<Tun> open_tun(const TunOptions& options) {
  device::DeviceOptions wanted;
  wanted.name = options.name;
  wanted.offload = options.vnet_header;
  wanted.offload_udp = options.segment_udp;
  wanted.multi_queue = options.queues > 1;
  wanted.generated_addresses = true;  // configure_interface decides
  wanted.up = false;
  auto first = device::Device::open(wanted);
  if (!first) return first.error();
  auto name = first->name();
  if (!name) return name.error();
  std::vector<device::Device> others;
  for (unsigned i = 1; i < options.queues; ++i) {
    auto queue = first->clone();
    if (!queue) return queue.error();
    others.push_back(std::move(*queue));
  }
  auto writer = open_writer(*first);
  if (!writer) return writer.error();
  Tun tun;
  tun.name = std::move(*name);
  tun.writer = std::move(*writer);
  take_over(*first, tun);
  for (device::Device& queue : others) tun.queues.emplace_back(queue.release());
  return tun;
}

Result<Tun> adopt_tun(int fd, const std::string& name) {
  auto device = device::Device::adopt(fd);
  if (!device) return device.error();
  // Until all is well the descriptor is the caller's.
  const auto refuse = [&](const std::string& why) {
    (void)device->release();
    return Error{"descriptor " + std::to_string(fd) + " " + why};
  };
  auto actual = device->name();
  if (!actual) return refuse("has no name: " + actual.error().text());
  if (device->layer() != device::Layer::ip) {
    return refuse("(" + *actual + ") is a TAP device, not a TUN");
  }
  if (device->framing() != device::Framing::bare) {
    return refuse("(" + *actual + ") was opened without IFF_NO_PI: its packets carry an " +
                  "information header");
  }
  if (!name.empty() && name != *actual) {
    return refuse("is the device " + *actual + ", but interface_name is " + name);
  }
  auto writer = duplicate(fd);
  if (!writer) return refuse(writer.error().text());
  Tun tun;
  tun.name = std::move(*actual);
  tun.writer = std::move(*writer);
  take_over(*device, tun);
  return tun;
}

}  // namespace hairpin::platform
