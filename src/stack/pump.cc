#include "stack/pump.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nat/build.h"

namespace hairpin::stack {

namespace {

/// The virtio header and the largest IP packet.
constexpr std::size_t kFrame = sizeof(nat::VnetHeader) + 65536;
/// Packets read in one direction before the other flows of the worker have a turn.
constexpr int kPackets = 64;
}  // namespace

Pump::Pump(Worker& worker, const nat::Translator& translator, std::vector<IpAddr> addresses,
           Devices devices, Lost lost)
    : worker_(worker),
      translator_(translator),
      outer_(side_of(std::move(devices.outer), true)),
      inner_(side_of(std::move(devices.inner), false)),
      header_(devices.vnet_header ? sizeof(nat::VnetHeader) : 0),
      // A packet that is written to a TUN arrives whatever its size: the MTU is for the other way.
      answers_(worker, outer_.writer.get(),
               {devices.vnet_header, devices.segments_udp, {}, UdpAnswers::kNoMtu},
               std::move(addresses)),
      frame_(kFrame),
      lost_(std::move(lost)) {}

Pump::Side Pump::side_of(Device device, bool is_outer) {
  Side side{{}, std::move(device.writer), is_outer};
  if (device.queue) side.queue.emplace(worker_.executor(), device.queue.release());
  return side;
}

void Pump::start() {
  if (outer_.queue) wait(outer_);
  if (inner_.queue) wait(inner_);
}

void Pump::stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  for (Side* side : {&outer_, &inner_}) {
    if (side->queue) side->queue->close(ignored);
    side->writer.reset();
  }
}

void Pump::wait(Side& side) {
  side.queue->async_wait(Wait::wait_read, [this, &side](const boost::system::error_code& ec) {
    if (!ec && !stopped_) drain(side);
  });
}

void Pump::drain(Side& side) {
  for (int i = 0; i < kPackets; ++i) {
    const ssize_t size = ::read(side.queue->native_handle(), frame_.data(), frame_.size());
    if (size < 0) {
      if (errno == EAGAIN || errno == EINTR) return wait(side);
      // The device does not exist any more (EBADFD, EFAULT): waiting would return at once, for
      // ever.
      worker_.counters.add(Count::tun_read_error);
      return lost_();
    }
    handle(side, std::span(frame_).first(static_cast<std::size_t>(size)));
  }
  asio::post(worker_.executor(), [this, &side] {
    if (!stopped_) drain(side);
  });
}

void Pump::handle(Side& side, std::span<std::byte> frame) {
  auto& counters = worker_.counters;
  nat::Packet packet;
  // A frame shorter than its header holds no packet: parsing nothing says so.
  const auto bytes = frame.subspan(std::min(header_, frame.size()));
  const nat::Verdict verdict =
      side.is_outer ? translator_.outer(bytes, packet) : translator_.inner(bytes, packet);
  if (side.is_outer) {
    counters.add_outer(verdict);
  } else {
    counters.add_inner(verdict);
  }
  switch (verdict) {
    case nat::Verdict::forward:
      if (side.is_outer && gate_ != nullptr && nat::may_open(packet)) {
        const auto opening = nat::opening_of(packet);
        if (opening && gate_->take(*opening, frame.first(header_ + packet.bytes().size()))) return;
      }
      return write(side.is_outer ? inner_ : outer_, frame.first(header_ + packet.bytes().size()));
    case nat::Verdict::echo: {
      const bool pending = header_ != 0 && (nat::header_at<const nat::VnetHeader>(frame).flags &
                                            nat::VnetHeader::kNeedsChecksum) != 0;
      nat::make_echo_reply(packet, pending ? nat::Coverage::pseudo_only : nat::Coverage::complete);
      return write(outer_, frame.first(header_ + packet.bytes().size()));
    }
    case nat::Verdict::unreachable:
      return answers_.refuse(packet, nat::Refusal::administrator);
    case nat::Verdict::drop_malformed:
    case nat::Verdict::drop_scope:
    case nat::Verdict::drop_mirror:
    case nat::Verdict::drop_icmp:
    case nat::Verdict::drop_unexpected:
      return;
  }
}

void Pump::refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) {
  nat::Packet packet;
  if (nat::Packet::parse(frame.subspan(header_), packet) != nat::Malformed::none) return;
  translator_.turn_back(packet);
  if (answer == dispatch::SynAnswer::reset) return answers_.reset(packet);
  answers_.refuse(packet, dispatch::refusal_of(answer));
}

void Pump::write(const Side& side, std::span<const std::byte> frame) {
  if (::write(side.writer.get(), frame.data(), frame.size()) < 0) {
    worker_.counters.add(Count::tun_write_error);
  }
}

}  // namespace hairpin::stack
