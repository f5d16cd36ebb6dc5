#include "platform/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>

namespace hairpin::platform {

namespace {

Result<Fd> open_bound(IfIndex device, std::uint16_t protocol) {
  Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket(AF_PACKET)");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = device.value();
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return last_error("bind packet socket");
  }
  return fd;
}

}  // namespace

Result<Fd> open_packet_socket(IfIndex device) {
  // Without a protocol of its own nothing is received, and each frame's is read from its header.
  auto fd = open_bound(device, 0);
  if (!fd) return fd;
  const int yes = 1;
  if (::setsockopt(fd->get(), SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) != 0) {
    return last_error("PACKET_VNET_HDR");
  }
  return fd;
}

Result<Fd> open_device_guard(IfIndex device) {
  // With a protocol that nobody speaks (IEEE 802, "local experimental"): with none the kernel does
  // not tell the socket what happens to its device.
  constexpr std::uint16_t kUnused = 0x88b5;
  return open_bound(device, kUnused);
}

}  // namespace hairpin::platform
