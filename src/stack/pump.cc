#include "stack/pump.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "nat/build.h"

namespace hairpin::stack {

namespace {

/// The virtio header and the largest IP packet.
constexpr std::size_t kFrame = sizeof(nat::VnetHeader) + 65536;
/// Packets read in one direction before the other flows of the worker have a turn.
constexpr int kPackets = 64;
/// What an IPv6 packet to a client behind this host is cut to: routers may not cut it further, and
/// this is what every link carries (RFC 8200, section 5).
constexpr std::size_t kMinMtu6 = 1280;

static_assert(Worker::kHeadroom >= sizeof(nat::VnetHeader) + nat::kUdpHeadroom);

}  // namespace

Pump::Pump(Worker& worker, const nat::Translator& translator, Fd outer, Fd inner, bool vnet_header,
           Lost lost)
    : worker_(worker),
      translator_(translator),
      outer_{Descriptor(worker.executor(), outer.release()), true},
      inner_{Descriptor(worker.executor(), inner.release()), false},
      header_(vnet_header ? sizeof(nat::VnetHeader) : 0),
      frame_(kFrame),
      lost_(std::move(lost)) {}

void Pump::start() {
  wait(outer_);
  wait(inner_);
}

void Pump::stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  outer_.device.close(ignored);
  inner_.device.close(ignored);
}

void Pump::wait(Side& side) {
  side.device.async_wait(Wait::wait_read, [this, &side](const boost::system::error_code& ec) {
    if (!ec && !stopped_) drain(side);
  });
}

void Pump::drain(Side& side) {
  for (int i = 0; i < kPackets; ++i) {
    const ssize_t size = ::read(side.device.native_handle(), frame_.data(), frame_.size());
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
      return write((side.is_outer ? inner_ : outer_).device,
                   frame.first(header_ + packet.bytes().size()));
    case nat::Verdict::echo: {
      const bool pending = header_ != 0 && (nat::header_at<const nat::VnetHeader>(frame).flags &
                                            nat::VnetHeader::kNeedsChecksum) != 0;
      nat::make_echo_reply(packet, pending ? nat::Coverage::pseudo_only : nat::Coverage::complete);
      return write(outer_.device, frame.first(header_ + packet.bytes().size()));
    }
    case nat::Verdict::unreachable: {
      std::array<std::byte, Worker::kHeadroom + nat::kMaxIcmpError> buffer;
      const auto error = nat::icmp_error(packet, nat::Refusal::administrator,
                                         std::span(buffer).subspan(Worker::kHeadroom));
      if (error) write_built(*error, nat::Coverage::complete);
      return;
    }
    case nat::Verdict::drop_malformed:
    case nat::Verdict::drop_scope:
    case nat::Verdict::drop_mirror:
    case nat::Verdict::drop_icmp:
    case nat::Verdict::drop_unexpected:
      return;
  }
}

void Pump::write(Descriptor& device, std::span<const std::byte> frame) {
  if (::write(device.native_handle(), frame.data(), frame.size()) < 0) {
    worker_.counters.add(Count::tun_write_error);
  }
}

void Pump::write_built(std::span<std::byte> packet, nat::Coverage coverage) {
  std::byte* start = packet.data() - header_;
  if (header_ != 0) {
    nat::VnetHeader header;
    if (coverage == nat::Coverage::pseudo_only) {
      const bool v4 = std::to_integer<unsigned>(packet[0]) >> 4 == 4;
      header.flags = nat::VnetHeader::kNeedsChecksum;
      header.checksum_start =
          static_cast<std::uint16_t>(v4 ? sizeof(nat::Ip4Header) : sizeof(nat::Ip6Header));
      header.checksum_offset = offsetof(nat::UdpHeader, checksum);
    }
    std::memcpy(start, &header, sizeof header);
  }
  write(outer_.device, {start, header_ + packet.size()});
}

bool Pump::is_own(const IpAddr& address) const {
  return std::ranges::any_of(translator_.mirrors(),
                             [&](const nat::Mirror& mirror) { return mirror.address == address; });
}

void Pump::answer(const Endpoint& from, const Endpoint& to, std::span<std::byte> buffer,
                  std::size_t offset, std::size_t size) {
  const bool v6 = to.address.is_v6();
  if (from.address.family() != to.address.family() ||
      size > (v6 ? nat::kMaxUdpPayload6 : nat::kMaxUdpPayload4)) {
    worker_.counters.add(Count::udp_send_failed);
    return;
  }
  const std::uint32_t id = next_id_++;
  // A client behind this host may have a small MTU on its way. IPv4 lets routers cut the packet.
  const bool cut = v6 && !is_own(to.address) &&
                   sizeof(nat::Ip6Header) + sizeof(nat::UdpHeader) + size > kMinMtu6;
  // The kernel can be left to do the sum, if there is a header to tell it, and one packet to sum.
  const auto coverage = header_ != 0 && !cut ? nat::Coverage::pseudo_only : nat::Coverage::complete;
  const auto packet =
      nat::prepend_udp(buffer, offset, size, from, to, static_cast<std::uint16_t>(id), coverage);
  if (!cut) return write_built(packet, coverage);

  nat::Ip6Fragmenter fragments(packet, kMinMtu6, id);
  std::array<std::byte, Worker::kHeadroom + kMinMtu6> out;
  const auto body = std::span(out).subspan(Worker::kHeadroom);
  while (const std::size_t length = fragments.next(body)) {
    write_built(body.first(length), nat::Coverage::complete);
  }
}

void Pump::refuse(const Endpoint& client, const Endpoint& to, std::span<const std::byte> payload) {
  if (client.address.family() != to.address.family()) return;
  // The error quotes the beginning of the datagram that it is about, which the kernel has taken
  // apart: build it again.
  constexpr std::size_t kOffset = nat::kUdpHeadroom;
  std::array<std::byte, kOffset + nat::kMaxIcmpError> quoted;
  const std::size_t size = std::min(payload.size(), nat::kMaxIcmpError);
  std::ranges::copy(payload.first(size), quoted.begin() + kOffset);
  const auto datagram =
      nat::prepend_udp(quoted, kOffset, size, client, to, 0, nat::Coverage::complete);
  nat::Packet packet;
  if (nat::Packet::parse(datagram, packet) != nat::Malformed::none) return;
  std::array<std::byte, Worker::kHeadroom + nat::kMaxIcmpError> buffer;
  const auto error =
      nat::icmp_error(packet, nat::Refusal::port, std::span(buffer).subspan(Worker::kHeadroom));
  if (error) write_built(*error, nat::Coverage::complete);
}

}  // namespace hairpin::stack
