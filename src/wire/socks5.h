// SOCKS version 5 as bytes (RFC 1928, RFC 1929). Pure: what to send, and what was received.
//
// A parser is given all bytes received so far. It answers with the message and its length, with
// `incomplete` (ask again when there is more), or with an Error that says what was wrong.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/target.h"

namespace hairpin::socks5 {

using Bytes = std::vector<std::byte>;

enum class Command : std::uint8_t { connect = 1, udp_associate = 3 };
enum class Method : std::uint8_t { none = 0, password = 2, unacceptable = 0xff };

/// One reply to a request: the code of RFC 1928 section 6, and the address the server is bound to.
struct Reply {
  std::uint8_t code = 0;
  Target bound;
};

template <class T>
struct Parsed {
  T value;
  std::size_t size = 0;  ///< Bytes that the message took.
};
/// Empty: incomplete.
template <class T>
using ParseResult = Result<std::optional<Parsed<T>>>;

/// The largest message that a server may send in the handshake: a reply with a name of 255 bytes.
inline constexpr std::size_t kMaxMessage = 4 + 1 + 255 + 2;
/// The largest header before a datagram.
inline constexpr std::size_t kMaxUdpHeader = 4 + 1 + 255 + 2;

Bytes greeting(bool with_password);
ParseResult<Method> parse_method(std::span<const std::byte> received);

/// Requires: both between 1 and 255 bytes (checked when the configuration is read).
Bytes password_request(const std::string& user, const std::string& password);
/// The value is true when the server accepts.
ParseResult<bool> parse_password_reply(std::span<const std::byte> received);

/// Requires: a name of at most 255 bytes.
Bytes request(Command command, const Target& target);
ParseResult<Reply> parse_reply(std::span<const std::byte> received);
/// "connection refused", …
std::string reply_text(std::uint8_t code);
/// The errno that says the same; 0 when none does.
int reply_errno(std::uint8_t code);

/// The header before a datagram (RFC 1928, section 7). Returns the bytes written.
/// Requires: `out` holds kMaxUdpHeader bytes.
std::size_t write_udp_header(const Target& target, std::span<std::byte> out);
/// Empty for what is no datagram of a relay, or is a fragment: no server in use sends them.
std::optional<Parsed<Target>> parse_udp_header(std::span<const std::byte> datagram);

}  // namespace hairpin::socks5
