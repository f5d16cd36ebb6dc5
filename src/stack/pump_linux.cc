#include "stack/pump.h"

#include <algorithm>

#include "nat/build.h"

namespace hairpin::stack {

namespace {

/// The virtio header and the largest IP packet.
constexpr std::size_t kFrame = sizeof(nat::VnetHeader) + 65536;
}  // namespace

Pump::Pump(Worker& worker, const nat::Translator& translator, Place place,
           std::vector<IpAddr> addresses, Devices devices, Lost lost)
    : worker_(worker),
      place_(std::move(place)),
      translator_(translator),
      outer_(*this, std::move(devices.outer), true),
      inner_(*this, std::move(devices.inner), false),
      header_(devices.vnet_header ? sizeof(nat::VnetHeader) : 0),
      // A packet that is written to a TUN arrives whatever its size: the MTU is for the other way.
      answers_(worker, outer_.writer,
               {devices.vnet_header, devices.segments_udp, {}, UdpAnswers::kNoMtu},
               std::move(addresses)),
      frame_(Worker::kHeadroom + kFrame),
      lost_(std::move(lost)) {
  if (place_.seats) datagrams_.emplace(worker_, place_);
}

void Pump::take_seat(dispatch::UdpAssociations& associations, dispatch::Admission& admission) {
  if (place_.seats) place_.seats->seats[place_.worker] = {&worker_, &associations, &admission};
}

void Pump::start() {
  outer_.queue.start();
  inner_.queue.start();
}

void Pump::stop() {
  for (Side* side : {&outer_, &inner_}) {
    side->queue.stop();
    side->writer.close();
  }
}

std::span<std::byte> Pump::room() {
  return std::span(frame_).subspan(Worker::kHeadroom);
}

void Pump::turn_ended() {
  if (datagrams_) datagrams_->turn_ended();
}

void Pump::take_datagram(const nat::Packet& packet, std::span<std::byte> frame) {
  translator_.turn_back(packet);
  const auto* header =
      header_ == 0 ? nullptr : reinterpret_cast<const nat::VnetHeader*>(frame.data());
  if (!packet.is_fragment()) return datagrams_->take(packet, header, frame_);
  auto whole = fragments_.take(packet, Clock::now());
  worker_.counters.add(Count::fragments_lost, fragments_.take_dropped());
  nat::Packet parsed;
  if (!whole || nat::Packet::parse(whole->packet(), parsed) != nat::Malformed::none) return;
  datagrams_->take(parsed, nullptr, whole->bytes);
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
      if (side.is_outer && datagrams_ && packet.protocol() == nat::kUdp) {
        return take_datagram(packet, frame);
      }
      if (side.is_outer && gate_ != nullptr && nat::may_open(packet)) {
        const auto opening = nat::opening_of(packet);
        if (opening && gate_->take(*opening, frame.first(header_ + packet.bytes().size()))) return;
      }
      return write(side.is_outer ? inner_ : outer_, frame.first(header_ + packet.bytes().size()));
    case nat::Verdict::echo:
      nat::make_echo_reply(
          packet,
          nat::coverage_of(header_ == 0 ? nullptr : &nat::header_at<const nat::VnetHeader>(frame)));
      return write(outer_, frame.first(header_ + packet.bytes().size()));
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

void Pump::write(Side& side, std::span<const std::byte> frame) {
  if (!side.writer.write(frame)) worker_.counters.add(Count::tun_write_error);
}

}  // namespace hairpin::stack
