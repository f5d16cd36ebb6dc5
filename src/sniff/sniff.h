// What a flow is, by its first bytes: its protocol, and the name that it asks for.
//
// Sniffers only look: the bytes go their way as they came. Each is a pure function of the bytes
// seen so far, called again with more of them as they come, and ends with "it is", "it is not" or
// "I need more"; what a stranger sends can at worst make it say "it is not".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace hairpin::sniff {

/// In the order in which they are asked.
enum class Protocol : std::uint8_t {
  tls,
  http,
  ssh,
  bittorrent,
  dns,
  quic,
  stun,
  dtls,
  ntp,
  count_
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Protocol::count_)> kNames{
    "tls", "http", "ssh", "bittorrent", "dns", "quic", "stun", "dtls", "ntp"};
std::string_view name(Protocol protocol);
std::optional<Protocol> parse_protocol(std::string_view name);

/// A set of protocols.
class Protocols {
 public:
  static Protocols all() { return Protocols((1U << static_cast<unsigned>(Protocol::count_)) - 1); }
  Protocols() = default;
  void add(Protocol protocol) { bits_ |= 1U << static_cast<unsigned>(protocol); }
  bool has(Protocol protocol) const { return (bits_ >> static_cast<unsigned>(protocol) & 1) != 0; }

  /// Whether a stream may be one of them.
  bool any_of_streams() const {
    return has(Protocol::tls) || has(Protocol::http) || has(Protocol::ssh) ||
           has(Protocol::bittorrent) || has(Protocol::dns);
  }

  friend bool operator==(const Protocols&, const Protocols&) = default;

 private:
  explicit Protocols(unsigned bits) : bits_(bits) {}
  unsigned bits_ = 0;
};

enum class Verdict : std::uint8_t { yes, no, more };

struct Finding {
  Verdict verdict = Verdict::no;
  Protocol protocol = Protocol::count_;  ///< Of Verdict::yes.
  std::string domain;                    ///< Lower case; empty: there is none.
};

/// More than this is never asked for.
inline constexpr std::size_t kMaxBytes = 64 * 1024;

/// The first bytes that a client has sent in a connection. `more` only while there are fewer than
/// kMaxBytes.
Finding sniff_stream(std::span<const std::byte> bytes, Protocols wanted);

/// One datagram, for all that shows itself in one; QUIC is quic.h's.
Finding sniff_datagram(std::span<const std::byte> bytes, Protocols wanted);

/// A name as a client writes it, made comparable; empty when it is no host name: an address, or
/// with characters that no name has.
std::string host_name(std::string_view text);

}  // namespace hairpin::sniff
