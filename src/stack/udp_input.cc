#include "stack/udp_input.h"

#include <algorithm>

#include "nat/checksum.h"

namespace hairpin::stack {

namespace {

/// The payload of a datagram; empty pointer when the packet is none.
std::optional<std::span<std::byte>> payload_of(const nat::Packet& packet) {
  const auto transport = packet.transport();
  if (transport.size() < sizeof(nat::UdpHeader)) return std::nullopt;
  const auto& udp = nat::header_at<const nat::UdpHeader>(transport);
  const std::size_t length = udp.length;
  if (length < sizeof(nat::UdpHeader) || length > transport.size()) return std::nullopt;
  if (udp.destination_port == 0 || udp.source_port == 0) return std::nullopt;
  return transport.subspan(sizeof(nat::UdpHeader), length - sizeof(nat::UdpHeader));
}

}  // namespace

bool has_right_sum(Worker& worker, const nat::Packet& packet, const nat::VnetHeader* header) {
  constexpr std::uint8_t kTrusted = nat::VnetHeader::kNeedsChecksum | nat::VnetHeader::kDataValid;
  if (header != nullptr && (header->flags & kTrusted) != 0) return true;
  const auto transport = packet.transport();
  const bool udp = packet.protocol() == nat::kUdp;
  // RFC 768: a sender need not make a sum. RFC 8200, 8.1: over IPv6 it must.
  if (udp && packet.family() == Family::v4 && transport.size() >= sizeof(nat::UdpHeader) &&
      nat::header_at<const nat::UdpHeader>(transport).checksum == 0) {
    return true;
  }
  nat::Sum sum = nat::pseudo_header(packet.source(), packet.destination(), packet.protocol(),
                                    static_cast<std::uint32_t>(transport.size()));
  if (sum.add(transport).folded() == 0xffff) return true;
  worker.counters.add(Count::checksum_wrong);
  return false;
}

void UdpInput::take(const nat::Packet& packet, const nat::VnetHeader* header,
                    std::span<std::byte> memory) {
  const auto payload = payload_of(packet);
  if (!payload) return worker_.counters.add_outer(nat::Verdict::drop_malformed);
  if (!has_right_sum(worker_, packet, header)) return;
  const auto& udp = nat::header_at<const nat::UdpHeader>(packet.transport());
  const Flow flow{Network::udp,
                  {packet.source(), udp.source_port},
                  {packet.destination(), udp.destination_port},
                  place_.inbound};
  platform::Burst burst = platform::Burst::single(
      memory, static_cast<std::size_t>(payload->data() - memory.data()), payload->size());
  if (header != nullptr && header->gso_type == nat::VnetHeader::kGsoUdpL4 &&
      header->gso_size != 0 && payload->size() > header->gso_size) {
    burst.size = burst.stride = header->gso_size;
    burst.count = (payload->size() + burst.size - 1) / burst.size;
    burst.last = payload->size() - (burst.count - 1) * burst.size;
  }
  const Seat& seat = place_.seats->of_client(flow.client);
  if (seat.worker == &worker_) return seat.associations->take(flow, burst);
  auto& leaving = leaving_[static_cast<std::size_t>(&seat - place_.seats->seats.data())];
  if (leaving.size() >= kMostLeaving)
    return worker_.counters.add(Count::udp_queue_full, burst.count);
  std::vector<std::byte> bytes(Worker::kHeadroom + payload->size());
  std::ranges::copy(*payload, bytes.begin() + Worker::kHeadroom);
  leaving.push_back({flow, std::move(bytes), burst.size, burst.count, burst.last});
}

void UdpInput::turn_ended() {
  for (std::size_t i = 0; i < leaving_.size(); ++i) {
    if (leaving_[i].empty()) continue;
    const Seat& seat = place_.seats->seats[i];
    asio::post(seat.worker->executor(), [associations = seat.associations,
                                         batch = std::exchange(leaving_[i], {})]() mutable {
      for (Leaving& one : batch) {
        associations->take(one.flow,
                           {one.bytes, Worker::kHeadroom, one.size, one.size, one.count, one.last});
      }
    });
  }
}

}  // namespace hairpin::stack
