#include "wire/socks5.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace hairpin::socks5 {

namespace {

constexpr std::byte kVersion{5};
constexpr std::byte kPasswordVersion{1};
enum AddressType : std::uint8_t { kIp4 = 1, kName = 3, kIp6 = 4 };

void put(Bytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// Address type, address, port. Returns the bytes written.
std::size_t write_target(const Target& target, std::span<std::byte> out) {
  std::size_t at = 0;
  if (target.name.empty()) {
    const auto address = std::as_bytes(target.endpoint.address.bytes());
    out[at++] = std::byte{target.endpoint.address.is_v4() ? kIp4 : kIp6};
    std::ranges::copy(address, out.begin() + static_cast<std::ptrdiff_t>(at));
    at += address.size();
  } else {
    out[at++] = std::byte{kName};
    out[at++] = static_cast<std::byte>(target.name.size());
    std::memcpy(&out[at], target.name.data(), target.name.size());
    at += target.name.size();
  }
  out[at++] = static_cast<std::byte>(target.endpoint.port >> 8);
  out[at++] = static_cast<std::byte>(target.endpoint.port & 0xff);
  return at;
}

/// Reads what write_target writes. `size` is 0 when bytes are missing.
Result<Parsed<Target>> parse_target(std::span<const std::byte> in) {
  Parsed<Target> parsed;
  if (in.size() < 2) return parsed;
  const auto type = std::to_integer<std::uint8_t>(in[0]);
  std::size_t length = 0;
  std::size_t start = 1;
  switch (type) {
    case kIp4:
      length = 4;
      break;
    case kIp6:
      length = 16;
      break;
    case kName:
      length = std::to_integer<std::size_t>(in[1]);
      start = 2;
      break;
    default:
      return Error{"SOCKS5: unknown address type " + std::to_string(type)};
  }
  if (in.size() < start + length + 2) return parsed;
  const auto host = in.subspan(start, length);
  if (type == kName) {
    parsed.value.name.assign(reinterpret_cast<const char*>(host.data()), host.size());
  } else {
    parsed.value.endpoint.address = IpAddr::from_wire(host);
  }
  const auto port = in.subspan(start + length, 2);
  parsed.value.endpoint.port = static_cast<std::uint16_t>(std::to_integer<unsigned>(port[0]) << 8 |
                                                          std::to_integer<unsigned>(port[1]));
  parsed.size = start + length + 2;
  return parsed;
}

Error not_socks(std::span<const std::byte> received) {
  return Error{"the proxy does not speak SOCKS5 (first byte " +
               std::to_string(std::to_integer<unsigned>(received[0])) + ")"};
}

}  // namespace

Bytes greeting(bool with_password) {
  if (with_password) return {kVersion, std::byte{2}, std::byte{0}, std::byte{2}};
  return {kVersion, std::byte{1}, std::byte{0}};
}

ParseResult<Method> parse_method(std::span<const std::byte> received) {
  if (!received.empty() && received[0] != kVersion) return not_socks(received);
  if (received.size() < 2) return std::nullopt;
  const auto method = std::to_integer<std::uint8_t>(received[1]);
  switch (method) {
    case 0:
    case 2:
    case 0xff:
      return Parsed<Method>{static_cast<Method>(method), 2};
    default:
      return Error{"SOCKS5: the proxy chose authentication method " + std::to_string(method) +
                   ", which was not offered"};
  }
}

Bytes password_request(const std::string& user, const std::string& password) {
  Bytes out{kPasswordVersion, static_cast<std::byte>(user.size())};
  put(out, std::as_bytes(std::span(user)));
  out.push_back(static_cast<std::byte>(password.size()));
  put(out, std::as_bytes(std::span(password)));
  return out;
}

ParseResult<bool> parse_password_reply(std::span<const std::byte> received) {
  if (received.size() < 2) return std::nullopt;
  // RFC 1929 says version 1; some servers answer 5. The status is what counts.
  return Parsed<bool>{received[1] == std::byte{0}, 2};
}

Bytes request(Command command, const Target& target) {
  std::array<std::byte, 3 + kMaxUdpHeader> buffer{};
  buffer[0] = kVersion;
  buffer[1] = static_cast<std::byte>(command);
  const std::size_t size = 3 + write_target(target, std::span(buffer).subspan(3));
  return {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size)};
}

ParseResult<Reply> parse_reply(std::span<const std::byte> received) {
  if (!received.empty() && received[0] != kVersion) return not_socks(received);
  if (received.size() < 2) return std::nullopt;
  const auto code = std::to_integer<std::uint8_t>(received[1]);
  // Some servers close right after the code of a failure: it tells all we need.
  if (code != 0) return Parsed<Reply>{Reply{code, {}}, received.size()};
  if (received.size() < 4) return std::nullopt;
  auto target = parse_target(received.subspan(3));
  if (!target) return target.error();
  if (target->size == 0) return std::nullopt;
  return Parsed<Reply>{Reply{code, std::move(target->value)}, 3 + target->size};
}

std::string reply_text(std::uint8_t code) {
  constexpr std::array<const char*, 9> kTexts{
      "succeeded",           "general failure",       "connection not allowed by ruleset",
      "network unreachable", "host unreachable",      "connection refused",
      "TTL expired",         "command not supported", "address type not supported"};
  if (code < kTexts.size()) return kTexts[code];
  return "unknown reply " + std::to_string(code);
}

int reply_errno(std::uint8_t code) {
  switch (code) {
    case 2:
      return EACCES;
    case 3:
      return ENETUNREACH;
    case 4:
    case 6:
      return EHOSTUNREACH;
    case 5:
      return ECONNREFUSED;
    case 7:
      return EOPNOTSUPP;
    case 8:
      return EAFNOSUPPORT;
    default:
      return 0;
  }
}

std::size_t write_udp_header(const Target& target, std::span<std::byte> out) {
  out[0] = out[1] = out[2] = std::byte{0};  // reserved, reserved, fragment number
  return 3 + write_target(target, out.subspan(3));
}

std::optional<Parsed<Target>> parse_udp_header(std::span<const std::byte> datagram) {
  if (datagram.size() < 3 || datagram[2] != std::byte{0}) return std::nullopt;
  auto target = parse_target(datagram.subspan(3));
  if (!target || target->size == 0) return std::nullopt;
  const bool nameless = datagram[3] == std::byte{kName} && target->value.name.empty();
  if (nameless) return std::nullopt;
  target->size += 3;
  return std::move(*target);
}

}  // namespace hairpin::socks5
