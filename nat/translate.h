// The translator: what happens to a packet between the two TUN devices.
//
// How it works
//
//   application               outer TUN        inner TUN              our listener
//     C:s → D:d   ──────────────►│  swap, mirror │──────────────►  D:s → L:d
//     C:s ← D:d   ◄──────────────│  mirror, swap │◄──────────────  D:s ← L:d
//
// Exchanging the two addresses of a packet makes it come back to this host. Ports stay where they
// are, so the socket that accepts it still tells everything: its peer's address is D, its own port
// is d, its peer's port is s, its own address is C (or the mirror L of C, see mirror.h; for other
// sources C is left as it is). The answer, exchanged the same way, goes to the client from D.
//
// There is no table: the translation is its own inverse, and what it does depends on nothing but
// the packet and the handful of mirrors. There is no checksum work: addition commutes. There is no
// look at the transport header: fragments, GSO super-packets and IPv6 extension headers pass.
//
// What cannot be served by a listener is decided here and acted upon by the caller: echo requests
// are answered, protocols other than TCP and UDP are refused, the rest is dropped and counted.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nat/mirror.h"
#include "nat/packet.h"

namespace hairpin::nat {

/// What is to be done with a packet. Every value but `forward` has a counter of its own.
enum class Verdict : std::uint8_t {
  forward,          ///< Rewritten in place: write it to the other device.
  echo,             ///< An ICMP echo request: `make_echo_reply`, write to the device it came from.
  unreachable,      ///< A protocol that no listener takes: answer with an ICMP error.
  drop_malformed,   ///< Not an IP packet, or one that lies about its lengths.
  drop_scope,       ///< Multicast, broadcast, loopback, unspecified or IPv6 link-local addresses.
  drop_mirror,      ///< Uses a mirror as its own address: could not be told apart on the way back.
  drop_icmp,        ///< ICMP that asks for nothing: errors, answers, neighbour discovery.
  drop_unexpected,  ///< On the inner device: nothing that our listeners could have sent.
};
inline constexpr std::size_t kVerdicts = 8;
inline constexpr std::array<std::string_view, kVerdicts> kVerdictNames{
    "forwarded",     "echo_answered",  "protocol_refused", "dropped_malformed",
    "dropped_scope", "dropped_mirror", "dropped_icmp",     "dropped_unexpected"};

/// What a packet is, for who does not turn it: Verdict::forward for what a listener may have.
/// `packet` is set to the view of `bytes` unless malformed.
Verdict judge(std::span<std::byte> bytes, Packet& packet);

class Translator {
 public:
  /// One mirror for each address of this host that captured packets may come from. Of two whose
  /// mirrors coincide only the first is used: the second's packets pass without one.
  explicit Translator(std::span<const IpAddr> own_addresses);

  /// A packet from the outer device. `packet` is set to the view of `bytes` unless malformed.
  Verdict outer(std::span<std::byte> bytes, Packet& packet) const;
  /// A packet from the inner device: the answer of a listener.
  Verdict inner(std::span<std::byte> bytes, Packet& packet) const;

  /// Undoes `outer`, for who wants to answer a packet that has been turned already. Requires:
  /// `packet` got Verdict::forward from `outer`.
  void turn_back(const Packet& packet) const;

  /// Undoes the mirror on an address read from an accepted socket: L becomes C.
  IpAddr client_address(const IpAddr& seen) const;

  std::span<const Mirror> mirrors() const { return mirrors_; }

 private:
  std::vector<Mirror> mirrors_;
};

}  // namespace hairpin::nat
