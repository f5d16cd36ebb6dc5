// HTTP CONNECT as bytes (RFC 9110 9.3.6, RFC 7617). Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "wire/target.h"

namespace hairpin::http_connect {

struct Credentials {
  std::string user;
  std::string password;
};

std::string request(const Target& target, const std::optional<Credentials>& credentials);

/// The head of the proxy's answer.
struct Response {
  unsigned status = 0;
  std::string reason;
  std::size_t size = 0;  ///< Bytes of the head: what follows belongs to the tunnel.
};

/// Bytes. A proxy that sends a longer head is refused.
inline constexpr std::size_t kMaxHead = 16384;

/// Empty while the head is incomplete; an Error when it is none, or too long.
Result<std::optional<Response>> parse_response(std::span<const std::byte> received);

}  // namespace hairpin::http_connect
