#include "stack/veth_port.h"

#include <unistd.h>

#include <cerrno>

#include "nat/opening.h"
#include "platform/packet_socket.h"
#include "platform/sockets.h"

namespace hairpin::stack {

namespace {

constexpr std::size_t kHeaders = sizeof(nat::VnetHeader) + UdpAnswers::kEthernet;
/// The headers and the largest IP packet.
constexpr std::size_t kFrame = kHeaders + 65536;
/// Of the Ethernet source's last byte in a frame.
constexpr std::size_t kSource = sizeof(nat::VnetHeader) + 11;
/// SYNs read before the other flows of the worker have a turn.
constexpr int kSyns = 64;

}  // namespace

platform::MacAddress released_address(platform::MacAddress address) {
  address.back() ^= 1;
  return address;
}

VethPort::VethPort(Worker& worker, Fd packet_socket, Fd guard, const Wire& wire,
                   std::vector<IpAddr> addresses, Syns syns, Lost lost)
    : worker_(worker),
      socket_(std::move(packet_socket)),
      answers_(worker, socket_, {true, true, wire.address, wire.mtu}, std::move(addresses)),
      release_(std::move(syns.release)),
      released_(released_address(wire.address).back()),
      lost_(std::move(lost)) {
  if (guard) guard_.emplace(worker.executor(), guard.release());
  if (!syns.arriving) return;
  arriving_.emplace(worker.executor(), syns.arriving.release());
  frame_.resize(kFrame);
}

void VethPort::start() {
  if (guard_) watch_guard();
  if (arriving_) wait_syn();
}

void VethPort::watch_guard() {
  guard_->async_wait(Wait::wait_error, [this](const boost::system::error_code& ec) {
    if (ec) return;
    if (platform::take_socket_error(guard_->native_handle()) == ENETDOWN) return lost_();
    watch_guard();
  });
}

void VethPort::stop() {
  boost::system::error_code ignored;
  if (guard_) guard_->close(ignored);
  if (arriving_) arriving_->close(ignored);
}

void VethPort::wait_syn() {
  arriving_->async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
    if (!ec) drain_syns();
  });
}

void VethPort::drain_syns() {
  for (int i = 0; i < kSyns; ++i) {
    const ssize_t size = ::read(arriving_->native_handle(), frame_.data(), frame_.size());
    if (size < 0) {
      if (errno == ENETDOWN) return;  // the guard tells
      if (std::exchange(busy_, false)) count_lost();
      return wait_syn();
    }
    handle_syn(std::span(frame_).first(static_cast<std::size_t>(size)));
  }
  busy_ = true;
  count_lost();
  asio::post(worker_.executor(), [this] {
    if (arriving_->is_open()) drain_syns();
  });
}

void VethPort::count_lost() {
  worker_.counters.add(Count::tcp_syn_lost, platform::take_lost_frames(arriving_->native_handle()));
}

void VethPort::handle_syn(std::span<std::byte> frame) {
  constexpr std::uint8_t kSynOrReset = nat::TcpHeader::kSyn | nat::TcpHeader::kRst;
  nat::Packet packet;
  if (frame.size() < kHeaders ||
      nat::Packet::parse(frame.subspan(kHeaders), packet) != nat::Malformed::none) {
    return;  // nor does the kernel take it for TCP
  }
  const auto segment = packet.transport();
  if (packet.protocol() != nat::kTcp || segment.size() < sizeof(nat::TcpHeader) ||
      (nat::header_at<const nat::TcpHeader>(segment).flags & kSynOrReset) != nat::TcpHeader::kSyn) {
    return;  // nftables have not dropped it
  }
  const auto opening = nat::opening_of(packet);
  if (gate_ == nullptr || !opening || !gate_->take(*opening, frame)) let_in(frame);
}

void VethPort::let_in(std::span<std::byte> frame) {
  frame[kSource] = static_cast<std::byte>(released_);
  if (::write(release_.get(), frame.data(), frame.size()) < 0) {
    worker_.counters.add(Count::tun_write_error);
  }
}

void VethPort::refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) {
  nat::Packet packet;
  if (nat::Packet::parse(frame.subspan(kHeaders), packet) != nat::Malformed::none) return;
  if (answer == dispatch::SynAnswer::reset) return answers_.reset(packet);
  answers_.refuse(packet, dispatch::refusal_of(answer));
}

}  // namespace hairpin::stack
