#include "stack/queue_port.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "nat/opening.h"
#include "nft/apply.h"

namespace hairpin::stack {

namespace {

/// That can be numbered.
constexpr unsigned kQueues = 0x10000;

/// What the gate keeps of a packet.
struct Ticket {
  std::uint32_t id;
  Mark mark;
};

using Frame = std::array<std::byte, sizeof(Ticket)>;

Frame frame_of(const platform::QueuedPacket& packet) {
  const Ticket ticket{packet.id, packet.mark};
  Frame frame;
  std::memcpy(frame.data(), &ticket, sizeof ticket);
  return frame;
}

/// Requires: `frame` is of frame_of.
Ticket ticket_of(std::span<const std::byte> frame) {
  Ticket ticket{};
  std::memcpy(&ticket, frame.data(), sizeof ticket);
  return ticket;
}

Result<std::vector<Fd>> open_range(std::uint16_t first, unsigned count) {
  std::vector<Fd> sockets;
  for (unsigned i = 0; i < count; ++i) {
    auto socket = platform::open_packet_queue(static_cast<std::uint16_t>(first + i));
    if (!socket) return socket.error();
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

/// The first range from kFirstQueue on that nobody has a part of.
Result<std::vector<Fd>> open_free_range(unsigned count, std::uint16_t& first) {
  constexpr unsigned kTries = 100;
  Error last{"packet queues (NFQUEUE)", EBUSY};
  for (unsigned i = 0; i < kTries && config::kFirstQueue + (i + 1) * count <= kQueues; ++i) {
    first = static_cast<std::uint16_t>(config::kFirstQueue + i * count);
    auto sockets = open_range(first, count);
    if (sockets || sockets.error().code != EBUSY) return sockets;
    last = sockets.error();
  }
  return last;
}

void tell_without(const std::string& why) {
  log::warn(
      "auto_redirect: connections are accepted before it is decided about them: {}. Load "
      "nfnetlink_queue and nft_queue, or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE and "
      "CONFIG_NFT_QUEUE",
      why);
}

}  // namespace

Result<std::optional<SynQueues>> open_syn_queues(std::optional<std::uint16_t> first,
                                                 unsigned workers) {
  const auto kind = nft::find_queue_kind();
  if (!kind) return kind.error();
  if (!*kind) {
    tell_without("this kernel's nftables cannot queue packets");
    return std::optional<SynQueues>();
  }
  std::uint16_t number = first.value_or(config::kFirstQueue);
  if (number + workers > kQueues) {
    return Error{"auto_redirect_nfqueue: there are no " + std::to_string(workers) +
                     " queues (one for each worker) from " + std::to_string(number) + " on",
                 ERANGE};
  }
  auto sockets = first ? open_range(number, workers) : open_free_range(workers, number);
  if (!sockets && sockets.error().code == EOPNOTSUPP) {
    tell_without(sockets.error().text());
    return std::optional<SynQueues>();
  }
  if (!sockets) return std::move(sockets.error()).in("auto_redirect_nfqueue");
  return std::optional(
      SynQueues{{number, static_cast<std::uint16_t>(workers), **kind}, std::move(*sockets)});
}

QueuePort::QueuePort(Worker& worker, Fd socket, std::uint16_t number, const config::Marks& marks)
    : worker_(worker),
      socket_(worker.executor(), socket.release()),
      mask_(marks.mask),
      marks_(config::syn_marks(marks)),
      verdicts_(number) {}

void QueuePort::start(dispatch::SynGate& gate) {
  gate_ = &gate;
  wait();
}

void QueuePort::stop() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void QueuePort::wait() {
  socket_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
    if (!ec) drain();
  });
}

void QueuePort::drain() {
  in_turn_ = true;
  for (const platform::QueuedPacket& packet : reader_.receive(socket_.native_handle())) {
    handle(packet);
  }
  in_turn_ = false;
  give();
  worker_.counters.add(Count::tcp_syn_lost, reader_.take_lost());
  // The reactor comes back here when the other flows of the worker have had their turn.
  wait();
}

void QueuePort::handle(const platform::QueuedPacket& packet) {
  nat::Packet parsed;
  Frame frame = frame_of(packet);
  // What is no SYN that we understand is the kernel's to judge.
  if (nat::Packet::parse(packet.bytes, parsed) != nat::Malformed::none) return let_in(frame);
  const auto opening = nat::opening_of(parsed);
  if (!opening || !gate_->take(*opening, frame)) let_in(frame);
}

void QueuePort::let_in(std::span<std::byte> frame) {
  repeat(frame, marks_.let_in);
}

void QueuePort::bypass(std::span<std::byte> frame) {
  repeat(frame, marks_.leave);
}

void QueuePort::refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) {
  switch (answer) {
    case dispatch::SynAnswer::network:
      return repeat(frame, marks_.network);
    case dispatch::SynAnswer::host:
      return repeat(frame, marks_.host);
    case dispatch::SynAnswer::administrator:
      return repeat(frame, marks_.administrator);
    default:
      return repeat(frame, marks_.reset);
  }
}

void QueuePort::forget(std::span<const std::byte> frame) {
  verdicts_.drop(ticket_of(frame).id);
  give();
}

void QueuePort::repeat(std::span<const std::byte> frame, Mark mark) {
  const Ticket ticket = ticket_of(frame);
  verdicts_.repeat(ticket.id, Mark{(ticket.mark.value() & ~mask_) | mark.value()});
  give();
}

void QueuePort::give() {
  if (in_turn_ || !socket_.is_open()) return;
  if (auto given = verdicts_.send(socket_.native_handle()); !given) {
    worker_.counters.add(Count::tun_write_error);
  }
}

}  // namespace hairpin::stack
