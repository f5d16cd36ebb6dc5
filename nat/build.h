// Packets that we make ourselves: answers of UDP remotes, echo replies, resets, ICMP errors.
// All write into memory of the caller and allocate nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "nat/checksum.h"
#include "nat/packet.h"

namespace hairpin::nat {

/// Bytes that `prepend_udp` needs before the payload, for either family.
inline constexpr std::size_t kUdpHeadroom = sizeof(Ip6Header) + sizeof(UdpHeader);
/// The largest UDP payload: the IP length fields have 16 bits.
inline constexpr std::size_t kMaxUdpPayload4 = 65535 - sizeof(Ip4Header) - sizeof(UdpHeader);
inline constexpr std::size_t kMaxUdpPayload6 = 65535 - sizeof(UdpHeader);

/// Writes IP and UDP headers right before a payload, which starts at `offset` in `buffer` and is
/// `size` bytes long, and returns the packet. With Coverage::pseudo_only the payload is not
/// touched: the kernel sums it, if it must (the virtio header has to say so). Requires: offset >=
/// kUdpHeadroom, size within the family's limit, both ends of one family.
std::span<std::byte> prepend_udp(std::span<std::byte> buffer, std::size_t offset, std::size_t size,
                                 const Endpoint& source, const Endpoint& destination,
                                 std::uint16_t ip_id, Coverage coverage);

/// The same headers for a payload of `size` bytes that is only partly, or not at all, where it
/// would belong: returns just the headers. The sum is left to the kernel (Coverage::pseudo_only).
std::span<std::byte> prepend_udp_headers(std::span<std::byte> buffer, std::size_t offset,
                                         std::size_t size, const Endpoint& source,
                                         const Endpoint& destination, std::uint16_t ip_id);

/// Cuts a packet of ours into fragments of at most `mtu` bytes (RFC 791, 3.2; RFC 8200, 4.5). Each
/// call of `next` writes the next one into `out` and returns its length, 0 at the end. IPv4
/// fragments carry the packet's own identification.
/// Requires: `packet` has no options or extension headers and is complete; `out` holds `mtu` bytes,
/// which are at least 576 for IPv4 and 1280 for IPv6.
class Fragmenter {
 public:
  Fragmenter(std::span<const std::byte> packet, std::size_t mtu, std::uint32_t id);
  std::size_t next(std::span<std::byte> out);

 private:
  void write_ip4(std::span<std::byte> out, std::size_t size, bool more) const;
  void write_ip6(std::span<std::byte> out, std::size_t size, bool more) const;

  std::span<const std::byte> packet_;
  std::uint32_t id_;
  bool v4_;
  std::size_t ip_size_;     ///< Of the packet's header.
  std::size_t headers_;     ///< Of each fragment.
  std::size_t room_;        ///< For payload in each, a multiple of 8.
  std::size_t offset_ = 0;  ///< Bytes of the payload already sent.
};

/// Turns an echo request into its reply in place: addresses swapped, type changed, the checksum
/// updated by that one word (unless it is pending: then the kernel sums it later), so that the
/// fragments of a large request can be turned one by one. Requires: `packet` got Verdict::echo.
void make_echo_reply(const Packet& packet, Coverage coverage);

/// Why a flow is refused; each family has its own code for it.
enum class Refusal : std::uint8_t {
  port,           ///< Nothing listens there.
  host,           ///< No such host.
  network,        ///< No route.
  administrator,  ///< Forbidden by a rule, or a protocol that is not carried.
};

/// The largest error that `icmp_error` builds: RFC 1812 4.3.2.3 (576 bytes), RFC 4443 2.4 (1280).
inline constexpr std::size_t kMaxIcmpError = 1280;

/// Writes the ICMP or ICMPv6 "destination unreachable" that answers `packet` into `out`, from
/// the packet's destination to its source. Nothing (nullopt) for packets that must not be answered:
/// later fragments, ICMP errors, multicast (RFC 1122 3.2.2, RFC 4443 2.4 e).
/// Requires: `out` holds kMaxIcmpError bytes.
std::optional<std::span<std::byte>> icmp_error(const Packet& packet, Refusal refusal,
                                               std::span<std::byte> out);

/// Bytes of the largest packet that `tcp_reset` builds.
inline constexpr std::size_t kMaxTcpReset = sizeof(Ip6Header) + sizeof(TcpHeader);

/// Writes the RST that answers `packet` (RFC 9293 3.10.7.1) into `out`. Nothing for what is not a
/// whole TCP header, for fragments, and for a RST. Requires: `out` holds kMaxTcpReset bytes.
std::optional<std::span<std::byte>> tcp_reset(const Packet& packet, std::span<std::byte> out);

}  // namespace hairpin::nat
