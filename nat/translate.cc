#include "nat/translate.h"

#include <algorithm>
#include <cstring>

namespace hairpin::nat {

namespace {

void swap_addresses(const Packet& packet) {
  std::ranges::swap_ranges(packet.source_bytes(), packet.destination_bytes());
}

bool same(std::span<const std::byte> wire, const IpAddr& address) {
  const auto bytes = std::as_bytes(address.bytes());
  return wire.size() == bytes.size() && std::memcmp(wire.data(), bytes.data(), bytes.size()) == 0;
}

void put(std::span<std::byte> wire, const IpAddr& address) {
  std::memcpy(wire.data(), address.bytes().data(), wire.size());
}

/// Addresses that no unicast flow through a router can have (RFC 1122 3.2.1.3, RFC 4291 2.5-2.7).
bool out_of_scope(const IpAddr& address) {
  return address.is_multicast() || address.is_loopback() || address.is_unspecified() ||
         (address.is_v6() && address.is_link_local()) ||
         (address.is_v4() && address.bytes()[0] == 0);
}

Verdict classify_icmp(const Packet& packet) {
  // Later fragments of an echo request must follow the first one; those of anything else are
  // harmless, because the host that gets them never sees their first fragment.
  if (packet.is_later_fragment()) return Verdict::echo;
  const auto body = packet.transport();
  if (body.size() < sizeof(IcmpHeader)) return Verdict::drop_icmp;
  const auto& icmp = header_at<const IcmpHeader>(body);
  const std::uint8_t request =
      packet.family() == Family::v4 ? IcmpHeader::kEchoRequest4 : IcmpHeader::kEchoRequest6;
  return icmp.type == request && icmp.code == 0 ? Verdict::echo : Verdict::drop_icmp;
}

}  // namespace

Translator::Translator(std::span<const IpAddr> own_addresses) {
  for (const IpAddr& address : own_addresses) {
    const Mirror fresh = mirror_of(address);
    const bool taken = std::ranges::any_of(mirrors_, [&](const Mirror& known) {
      return known.address == address || known.mirror == fresh.mirror;
    });
    if (!taken) mirrors_.push_back(fresh);
  }
}

Verdict judge(std::span<std::byte> bytes, Packet& packet) {
  if (Packet::parse(bytes, packet) != Malformed::none) return Verdict::drop_malformed;
  if (out_of_scope(packet.source()) || out_of_scope(packet.destination())) {
    return Verdict::drop_scope;
  }
  const std::uint8_t protocol = packet.protocol();
  if (protocol == (packet.family() == Family::v4 ? kIcmp4 : kIcmp6)) return classify_icmp(packet);
  return protocol == kTcp || protocol == kUdp ? Verdict::forward : Verdict::unreachable;
}

Verdict Translator::outer(std::span<std::byte> bytes, Packet& packet) const {
  if (const Verdict verdict = judge(bytes, packet); verdict != Verdict::forward) return verdict;
  const Mirror* applies = nullptr;
  for (const Mirror& mirror : mirrors_) {
    if (same(packet.source_bytes(), mirror.mirror) ||
        same(packet.destination_bytes(), mirror.mirror)) {
      return Verdict::drop_mirror;
    }
    if (same(packet.source_bytes(), mirror.address)) applies = &mirror;
  }
  if (applies != nullptr) put(packet.source_bytes(), applies->mirror);
  swap_addresses(packet);
  return Verdict::forward;
}

Verdict Translator::inner(std::span<std::byte> bytes, Packet& packet) const {
  if (Packet::parse(bytes, packet) != Malformed::none) return Verdict::drop_malformed;
  if (packet.protocol() != kTcp && packet.protocol() != kUdp) return Verdict::drop_unexpected;
  if (out_of_scope(packet.source()) || out_of_scope(packet.destination())) {
    return Verdict::drop_unexpected;
  }
  for (const Mirror& mirror : mirrors_) {
    if (same(packet.source_bytes(), mirror.mirror)) {
      put(packet.source_bytes(), mirror.address);
      break;
    }
  }
  swap_addresses(packet);
  return Verdict::forward;
}

void Translator::turn_back(const Packet& packet) const {
  swap_addresses(packet);
  for (const Mirror& mirror : mirrors_) {
    if (same(packet.source_bytes(), mirror.mirror))
      return put(packet.source_bytes(), mirror.address);
  }
}

IpAddr Translator::client_address(const IpAddr& seen) const {
  for (const Mirror& mirror : mirrors_) {
    if (mirror.mirror == seen) return mirror.address;
  }
  return seen;
}

}  // namespace hairpin::nat
