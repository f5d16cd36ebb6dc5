// Answers every ping into a network: icmp_responder [NAME]
//
//   icmp_responder tun0 &
//   ping 198.51.100.77; ping 2001:db8:100::77
#include <hairpin/device/device.h>
#include <hairpin/nat/checksum.h>
#include <hairpin/nat/packet.h>

#include <algorithm>
#include <array>
#include <cstdio>

using namespace hairpin;

namespace {

/// Turns an echo request into its reply. False: it is none.
bool answer(std::span<std::byte> bytes) {
  nat::Packet packet;
  if (nat::Packet::parse(bytes, packet) != nat::Malformed::none || packet.is_fragment())
    return false;
  if (packet.transport().size() < sizeof(nat::IcmpHeader)) return false;
  auto& icmp = nat::header_at<nat::IcmpHeader>(packet.transport());
  const bool echo4 =
      packet.protocol() == nat::kIcmp4 && icmp.type == nat::IcmpHeader::kEchoRequest4;
  const bool echo6 =
      packet.protocol() == nat::kIcmp6 && icmp.type == nat::IcmpHeader::kEchoRequest6;
  if (!echo4 && !echo6) return false;
  // Exchanging the addresses changes no sum; the type is in one word with the code.
  std::ranges::swap_ranges(packet.source_bytes(), packet.destination_bytes());
  const auto word = [&] { return static_cast<std::uint16_t>(icmp.type << 8 | icmp.code); };
  const std::uint16_t before = word();
  icmp.type = echo4 ? nat::IcmpHeader::kEchoReply4 : nat::IcmpHeader::kEchoReply6;
  icmp.checksum = nat::updated(icmp.checksum, before, word());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  device::DeviceOptions options;
  if (argc > 1) options.name = argv[1];
  options.addresses = {{.prefix = *Prefix::parse("198.51.100.1/24")},
                       {.prefix = *Prefix::parse("2001:db8:100::1/64")}};
  auto device = device::Device::open(options);
  if (!device) return std::fprintf(stderr, "%s\n", device.error().text().c_str()), 1;
  std::printf("%s is up\n", device->name()->c_str());
  std::fflush(stdout);

  std::array<std::byte, 65536> buffer;
  for (;;) {
    const auto size = device->read(buffer);
    if (!size) return std::fprintf(stderr, "%s\n", size.error().text().c_str()), 1;
    const auto packet = std::span(buffer).first(*size);
    if (answer(packet)) (void)device->write(packet);
  }
}
