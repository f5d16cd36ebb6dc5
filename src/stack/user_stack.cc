#include "stack/user_stack.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/log.h"
#include "nat/checksum.h"
#include "nat/packet.h"
#include "nat/virtio.h"
#include "stack/tcp_bridge.h"

namespace hairpin::stack {

namespace {

constexpr std::size_t kPieces = 20;
/// Bytes: what one connection may have on its way to us, at most.
constexpr std::size_t kWindow = std::size_t{4} << 20;
constexpr std::size_t kLeastWindow = 65535;
/// Connections that may fill their windows at once before the device's queue overflows.
constexpr std::size_t kBusy = 8;

/// Bytes that an idle connection is reckoned to take.
constexpr std::size_t kConnection = 16 * 1024;

/// Half the queue is for what is no full packet.
std::size_t window(const UserStack::Options& options) {
  const std::size_t packet = options.vnet_header ? 65535 : options.mtu;
  return std::clamp(options.queue * packet / 2 / kBusy, kLeastWindow, kWindow);
}

}  // namespace

UserStack::UserStack(Worker& worker, const Options& options, const Place& place,
                     FrameWriter& writer)
    : worker_(worker),
      options_(options),
      writer_(writer),
      place_(place),
      blocks_(options.memory_limit),
      timer_(worker.executor()) {
  const tcp::Settings settings{options.mtu, options.vnet_header, window(options)};
  stack_.emplace(settings, static_cast<tcp::Device&>(*this), blocks_,
                 [this](tcp::Connection& connection) { accept(connection); });
}

UserStack::~UserStack() = default;

void UserStack::input(tcp::Block& block, std::size_t offset, std::size_t size) {
  stack_->input(block, offset, size);
}

void UserStack::input(std::span<const std::byte> packet) {
  stack_->input(packet);
}

void UserStack::turn_ended() {
  stack_->settle();
  worker_.counters.add(Count::memory_short, stack_->take_dropped());
  tick_later();
}

void UserStack::tick_later() {
  if (ticking_ || !tcp::Stack::ticks()) return;
  ticking_ = true;
  timer_.expires_after(tcp::Stack::kTick);
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    ticking_ = false;
    tcp::Stack::tick();
    tick_later();
  });
}

void UserStack::accept(tcp::Connection& connection) {
  const std::size_t limit = options_.memory_limit;
  if (limit != 0 && stack_->connections() > limit / kConnection) {
    worker_.counters.add(Count::memory_short);
    return connection.reset();
  }
  const Seat& seat = place_.seats->next();
  const Flow flow{Network::tcp, connection.client(), connection.destination(), place_.inbound};
  auto client = TcpBridge::open(worker_, *stack_, blocks_, connection);
  if (!client) {
    worker_.counters.add(Count::tcp_no_descriptor);
    log::warn("{} refused: {}", flow.text(), client.error().text());
    return connection.reset();
  }
  asio::post(seat.worker->executor(),
             [admission = seat.admission, flow, taken = std::move(*client)]() mutable {
               admission->admit(std::move(taken), flow);
             });
}

void UserStack::send(std::span<const std::span<const std::byte>> pieces, std::size_t size,
                     std::size_t segment) {
  const bool v4 = std::to_integer<unsigned>(pieces[0][0]) >> 4 == 4;
  const std::size_t ip = v4 ? sizeof(nat::Ip4Header) : sizeof(nat::Ip6Header);
  // The sum stands in the first piece, which is lwIP's and written for us.
  const auto headers = std::span(const_cast<std::byte*>(pieces[0].data()), pieces[0].size());
  const auto address = [&](std::size_t offset4, std::size_t offset6) {
    return IpAddr::from_wire(v4 ? headers.subspan(offset4, 4) : headers.subspan(offset6, 16));
  };
  nat::Sum sum = nat::pseudo_header(
      address(offsetof(nat::Ip4Header, source), offsetof(nat::Ip6Header, source)),
      address(offsetof(nat::Ip4Header, destination), offsetof(nat::Ip6Header, destination)),
      nat::kTcp, static_cast<std::uint32_t>(size - ip));
  auto& tcp = nat::header_at<nat::TcpHeader>(headers.subspan(ip));
  Result<> written;
  if (options_.vnet_header) {
    nat::VnetHeader header;
    header.flags = nat::VnetHeader::kNeedsChecksum;
    header.checksum_start = static_cast<std::uint16_t>(ip);
    header.checksum_offset = offsetof(nat::TcpHeader, checksum);
    if (segment != 0) {
      header.gso_type = v4 ? nat::VnetHeader::kGsoTcp4 : nat::VnetHeader::kGsoTcp6;
      header.gso_size = static_cast<std::uint16_t>(segment);
      header.header_length = static_cast<std::uint16_t>(ip + std::size_t{tcp.offset} / 16 * 4);
    }
    tcp.checksum = sum.folded();
    std::array<std::span<const std::byte>, kPieces> parts;
    parts[0] = std::as_bytes(std::span(&header, 1));
    std::ranges::copy(pieces, parts.begin() + 1);
    written = writer_.write(std::span(parts).first(pieces.size() + 1));
  } else {
    packet_.clear();
    for (const auto piece : pieces) packet_.insert(packet_.end(), piece.begin(), piece.end());
    const auto segment_bytes = std::span(packet_).subspan(ip);
    nat::header_at<nat::TcpHeader>(segment_bytes).checksum = 0;
    nat::header_at<nat::TcpHeader>(segment_bytes).checksum = sum.add(segment_bytes).complement();
    written = writer_.write(packet_);
  }
  if (!written) worker_.counters.add(Count::tun_write_error);
}

}  // namespace hairpin::stack
