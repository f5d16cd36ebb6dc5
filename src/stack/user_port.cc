#include "stack/user_port.h"

#include <algorithm>

#include "nat/build.h"
#include "nat/opening.h"

namespace hairpin::stack {

UserPort::UserPort(Worker& worker, Place place, std::vector<IpAddr> addresses, UserParts& parts,
                   Lost lost)
    : worker_(worker),
      place_(std::move(place)),
      writer_(open_writer(parts.tun)),
      header_(parts.tun.vnet_header ? sizeof(nat::VnetHeader) : 0),
      answers_(worker, *writer_,
               {parts.tun.vnet_header, parts.tun.segments_udp, {}, UdpAnswers::kNoMtu},
               std::move(addresses)),
      datagrams_(worker, place_),
      source_(take_source(parts.tun, place_.worker, worker, *this)),
      lost_(std::move(lost)) {
  if (!source_) return;
  stack_.emplace(
      worker,
      UserStack::Options{parts.mtu, parts.tun.vnet_header, parts.length, parts.memory_limit},
      place_, *writer_);
  block_ = stack_->blocks().take();
}

void UserPort::take_seat(dispatch::UdpAssociations& associations, dispatch::Admission& admission) {
  place_.seats->seats[place_.worker] = {&worker_, &associations, &admission};
}

void UserPort::start() {
  if (source_) source_->start();
}

void UserPort::stop() {
  if (source_) source_->stop();
  gate_ = nullptr;
  if (stack_) stack_->blocks().give_back(std::move(block_));
  stack_.reset();
  writer_->close();
}

std::span<std::byte> UserPort::room() {
  if (!block_) block_ = stack_->blocks().take();
  return std::span(*block_).subspan(tcp::kHeadroom - header_);
}

void UserPort::turn_ended() {
  datagrams_.turn_ended();
  stack_->turn_ended();
}

void UserPort::frame(std::span<std::byte> frame) {
  auto& counters = worker_.counters;
  nat::Packet packet;
  // A frame shorter than its header holds no packet: parsing nothing says so.
  const auto bytes = frame.subspan(std::min(header_, frame.size()));
  const nat::Verdict verdict = nat::judge(bytes, packet);
  counters.add_outer(verdict);
  const nat::VnetHeader* header =
      header_ == 0 ? nullptr : reinterpret_cast<const nat::VnetHeader*>(frame.data());
  switch (verdict) {
    case nat::Verdict::forward:
      if (packet.is_fragment()) return take_fragment(packet);
      if (packet.protocol() == nat::kUdp) return datagrams_.take(packet, header, *block_);
      return take_tcp(packet, frame.first(header_ + packet.bytes().size()));
    case nat::Verdict::echo:
      nat::make_echo_reply(packet, nat::coverage_of(header));
      if (!writer_->write(frame.first(header_ + packet.bytes().size()))) {
        counters.add(Count::tun_write_error);
      }
      return;
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

void UserPort::take_tcp(const nat::Packet& packet, std::span<std::byte> frame) {
  const nat::VnetHeader* header =
      header_ == 0 ? nullptr : reinterpret_cast<const nat::VnetHeader*>(frame.data());
  if (!has_right_sum(worker_, packet, header)) return;
  if (gate_ != nullptr && nat::may_open(packet)) {
    const auto opening = nat::opening_of(packet);
    if (opening && gate_->take(*opening, frame)) return;
  }
  stack_->input(block_, tcp::kHeadroom, packet.bytes().size());
}

void UserPort::take_fragment(const nat::Packet& packet) {
  auto whole = fragments_.take(packet, Clock::now());
  worker_.counters.add(Count::fragments_lost, fragments_.take_dropped());
  nat::Packet parsed;
  if (!whole || nat::Packet::parse(whole->packet(), parsed) != nat::Malformed::none) return;
  if (parsed.protocol() == nat::kUdp) return datagrams_.take(parsed, nullptr, whole->bytes);
  if (parsed.protocol() == nat::kTcp && has_right_sum(worker_, parsed, nullptr)) {
    stack_->input(parsed.bytes());
  }
}

void UserPort::let_in(std::span<std::byte> frame) {
  if (!stack_) return;
  stack_->input(frame.subspan(header_));
  stack_->turn_ended();
}

void UserPort::refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) {
  nat::Packet packet;
  if (nat::Packet::parse(frame.subspan(header_), packet) != nat::Malformed::none) return;
  if (answer == dispatch::SynAnswer::reset) return answers_.reset(packet);
  answers_.refuse(packet, dispatch::refusal_of(answer));
}

}  // namespace hairpin::stack
