#include "nat/opening.h"

namespace hairpin::nat {

namespace {

bool is_unicast(const IpAddr& address) {
  return !address.is_multicast() && !address.is_unspecified() && !address.is_loopback();
}

}  // namespace

std::optional<Opening> opening_of(const Packet& packet) {
  if (!may_open(packet)) return std::nullopt;
  const auto segment = packet.transport();
  const auto& tcp = header_at<const TcpHeader>(segment);
  const std::size_t length = std::size_t{static_cast<std::uint8_t>(tcp.offset >> 4)} * 4;
  if (length < sizeof(TcpHeader) || length > segment.size()) return std::nullopt;
  const Opening opening{{packet.source(), tcp.source_port},
                        {packet.destination(), tcp.destination_port},
                        tcp.sequence};
  if (!is_unicast(opening.source.address) || !is_unicast(opening.destination.address) ||
      opening.source.port == 0 || opening.destination.port == 0) {
    return std::nullopt;
  }
  return opening;
}

}  // namespace hairpin::nat
