// Packets for tests, put together by other code than what is tested: headers are written byte by
// byte, and checksums are the naive ones of RFC 1071. Addresses are of the documentation ranges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"

namespace hairpin::test {

using Bytes = std::vector<std::byte>;

inline IpAddr ip(const std::string& text) {
  return IpAddr::parse(text).value();
}
inline Endpoint at(const std::string& text) {
  return Endpoint::parse(text).value();
}

inline void put(Bytes& out, std::initializer_list<unsigned> values) {
  for (const unsigned value : values) out.push_back(static_cast<std::byte>(value));
}
inline void put16(Bytes& out, unsigned value) {
  put(out, {value >> 8, value & 0xff});
}
inline void set16(Bytes& out, std::size_t offset, unsigned value) {
  out[offset] = static_cast<std::byte>(value >> 8);
  out[offset + 1] = static_cast<std::byte>(value & 0xff);
}
inline unsigned get16(std::span<const std::byte> in, std::size_t offset) {
  return std::to_integer<unsigned>(in[offset]) << 8 | std::to_integer<unsigned>(in[offset + 1]);
}
inline void put(Bytes& out, const IpAddr& address) {
  for (const std::uint8_t byte : address.bytes()) put(out, {byte});
}

/// RFC 1071, the definition: 16-bit words added, carries added back.
inline unsigned naive_sum(std::span<const std::byte> bytes, unsigned sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += std::to_integer<unsigned>(bytes[i]) << 8;
    if (i + 1 < bytes.size()) sum += std::to_integer<unsigned>(bytes[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

inline unsigned naive_transport_sum(const IpAddr& source, const IpAddr& destination,
                                    unsigned protocol, std::span<const std::byte> body) {
  Bytes pseudo;
  put(pseudo, source);
  put(pseudo, destination);
  put16(pseudo, 0);
  put16(pseudo, static_cast<unsigned>(body.size()));
  put16(pseudo, protocol);
  return naive_sum(body, naive_sum(pseudo));
}

/// An IP packet around `body`. The IPv4 header has `words` words; options are no-ops.
inline Bytes wrap(const IpAddr& source, const IpAddr& destination, unsigned protocol,
                  const Bytes& body, unsigned words = 5, unsigned fragment = 0) {
  Bytes out;
  if (source.is_v6()) {
    put(out, {0x60, 0, 0, 0});
    put16(out, static_cast<unsigned>(body.size()));
    put(out, {protocol, 64});
    put(out, source);
    put(out, destination);
  } else {
    put(out, {0x40 | words, 0});
    put16(out, static_cast<unsigned>(words * 4 + body.size()));
    put16(out, 0x1234);
    put16(out, fragment);
    put(out, {64, protocol, 0, 0});
    put(out, source);
    put(out, destination);
    for (unsigned i = 20; i < words * 4; ++i) put(out, {1});
    set16(out, 10, ~naive_sum(out) & 0xffff);
  }
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

/// With a correct checksum.
inline Bytes tcp(const Endpoint& source, const Endpoint& destination, unsigned flags,
                 std::size_t payload = 0) {
  Bytes body;
  put16(body, source.port);
  put16(body, destination.port);
  put(body, {0, 0, 1, 0, 0, 0, 2, 0, 0x50, flags, 0x10, 0, 0, 0, 0, 0});
  for (std::size_t i = 0; i < payload; ++i) put(body, {static_cast<unsigned>(i) & 0xff});
  set16(body, 16, ~naive_transport_sum(source.address, destination.address, 6, body) & 0xffff);
  return wrap(source.address, destination.address, 6, body);
}

inline Bytes udp(const Endpoint& source, const Endpoint& destination, std::size_t payload) {
  Bytes body;
  put16(body, source.port);
  put16(body, destination.port);
  put16(body, static_cast<unsigned>(8 + payload));
  put16(body, 0);
  for (std::size_t i = 0; i < payload; ++i) put(body, {static_cast<unsigned>(i * 7) & 0xff});
  set16(body, 6, ~naive_transport_sum(source.address, destination.address, 17, body) & 0xffff);
  return wrap(source.address, destination.address, 17, body);
}

inline Bytes icmp(const IpAddr& source, const IpAddr& destination, unsigned type, unsigned code,
                  std::size_t payload = 16) {
  Bytes body;
  put(body, {type, code, 0, 0, 0, 1, 0, 2});
  for (std::size_t i = 0; i < payload; ++i) put(body, {static_cast<unsigned>(i)});
  const unsigned sum =
      source.is_v4() ? naive_sum(body) : naive_transport_sum(source, destination, 58, body);
  set16(body, 2, ~sum & 0xffff);
  return wrap(source, destination, source.is_v4() ? 1 : 58, body);
}

/// What is wrong with the lengths or checksums of a packet without extension headers; empty if all
/// is right. Knows IPv4, IPv6, TCP, UDP, ICMP and ICMPv6.
inline std::string complaint(std::span<const std::byte> packet) {
  if (packet.empty()) return "empty";
  const bool v4 = std::to_integer<unsigned>(packet[0]) >> 4 == 4;
  const std::size_t header = v4 ? (std::to_integer<std::size_t>(packet[0]) & 15) * 4 : 40;
  if (packet.size() < header) return "short";
  const std::size_t total = v4 ? get16(packet, 2) : 40 + get16(packet, 4);
  if (total != packet.size()) return "length " + std::to_string(total);
  if (v4 && naive_sum(packet.first(header)) != 0xffff) return "IPv4 header checksum";
  const unsigned protocol = std::to_integer<unsigned>(packet[v4 ? 9 : 6]);
  const std::size_t size = v4 ? 4 : 16;
  const IpAddr source = IpAddr::from_wire(packet.subspan(v4 ? 12 : 8, size));
  const IpAddr destination = IpAddr::from_wire(packet.subspan(v4 ? 16 : 24, size));
  const auto body = packet.subspan(header);
  const unsigned sum =
      protocol == 1 ? naive_sum(body) : naive_transport_sum(source, destination, protocol, body);
  if (sum != 0xffff) return "transport checksum";
  return "";
}

}  // namespace hairpin::test
