#include "platform/packet_socket.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace hairpin::platform {

namespace {

Result<> bind_to(int socket, IfIndex device, std::uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = device.value();
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return last_error("bind packet socket");
  }
  return {};
}

Result<Fd> open_bound(IfIndex device, std::uint16_t protocol) {
  Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error("socket(AF_PACKET)");
  if (auto bound = bind_to(fd.get(), device, protocol); !bound) return bound.error();
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

namespace {

constexpr std::uint32_t kWhole = 0xffff;  ///< Bytes of a packet to be received: all.
constexpr int kQueue = 8 * 1024 * 1024;   ///< Bytes: a burst of some thousand SYNs.

sock_filter statement(unsigned operation, std::uint32_t value) {
  return {static_cast<std::uint16_t>(operation), 0, 0, value};
}
/// `yes` and `no`: instructions to be skipped.
sock_filter jump(unsigned condition, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return {static_cast<std::uint16_t>(BPF_JMP | condition | BPF_K), yes, no, value};
}

/// Every packet that arrives is asked this: what nearly all are told by stands first.
Result<> attach_syn_filter(int socket, const SynShare& share) {
  constexpr unsigned kByte = BPF_LD | BPF_ABS | BPF_B;
  constexpr unsigned kHalf = BPF_LD | BPF_ABS | BPF_H;
  constexpr unsigned kWord = BPF_LD | BPF_ABS | BPF_W;
  constexpr std::uint32_t kIp = ETH_HLEN;  // where the network header is
  constexpr std::uint32_t kFlags = 13;     // in a TCP header
  constexpr std::uint32_t kSyn = 2;
  constexpr std::uint32_t kSynOrReset = 6;
  const std::array<std::uint8_t, 6>& address = share.released;
  const std::uint32_t released = std::uint32_t{address[2]} << 24 | std::uint32_t{address[3]} << 16 |
                                 std::uint32_t{address[4]} << 8 | std::uint32_t{address[5]};
  // Without knowing where its TCP header is: to one of the sockets.
  const std::uint8_t unsure = share.index == 0 ? 9 : 10;
  const std::array<sock_filter, 24> program{{
      /*  0 */ statement(kHalf, 12),
      /*  1 */ jump(BPF_JEQ, ETHERTYPE_IPV6, 7, 0),
      /*  2 */ jump(BPF_JEQ, ETHERTYPE_IP, 0, 20),
      /*  3 */ statement(kByte, kIp + 9),  // protocol
      /*  4 */ jump(BPF_JEQ, IPPROTO_TCP, 0, 18),
      /*  5 */ statement(kHalf, kIp + 6),  // fragment
      /*  6 */ jump(BPF_JSET, 0x1fff, 16, 0),
      /*  7 */ statement(BPF_LDX | BPF_MSH | BPF_B, kIp),  // header length
      /*  8 */ statement(BPF_JMP | BPF_JA, 5),
      /*  9 */ statement(kByte, kIp + 6),  // next header
      /* 10 */ jump(BPF_JEQ, IPPROTO_UDP, 12, 0),
      /* 11 */ jump(BPF_JEQ, IPPROTO_ICMPV6, 11, 0),
      /* 12 */ jump(BPF_JEQ, IPPROTO_TCP, 0, unsure),
      /* 13 */ statement(BPF_LDX | BPF_W | BPF_IMM, 40),
      /* 14 */ statement(BPF_LD | BPF_B | BPF_IND, kIp + kFlags),
      /* 15 */ statement(BPF_ALU | BPF_AND | BPF_K, kSynOrReset),
      /* 16 */ jump(BPF_JEQ, kSyn, 0, 6),
      /* 17 */ statement(BPF_LD | BPF_H | BPF_IND, kIp),  // source port
      /* 18 */ statement(BPF_ALU | BPF_AND | BPF_K, share.mask),
      /* 19 */ jump(BPF_JEQ, share.index, 0, 3),
      /* 20 */ statement(kWord, 8),  // the last four bytes of the Ethernet source
      /* 21 */ jump(BPF_JEQ, released, 1, 0),
      /* 22 */ statement(BPF_RET | BPF_K, kWhole),
      /* 23 */ statement(BPF_RET | BPF_K, 0),
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()),
                          const_cast<sock_filter*>(program.data())};
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0) {
    return last_error("SO_ATTACH_FILTER");
  }
  return {};
}

template <class T>
Result<> set(int socket, int level, int option, const T& value, const char* name) {
  if (::setsockopt(socket, level, option, &value, sizeof value) != 0) return last_error(name);
  return {};
}

}  // namespace

Result<Fd> open_syn_socket(IfIndex device, const SynShare& share) {
  // Everything is set before there is a protocol to receive.
  auto fd = open_bound(device, 0);
  if (!fd) return fd;
  const int socket = fd->get();
  Result<> done = attach_syn_filter(socket, share);
  if (done) done = set(socket, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
  if (done) done = set(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
  if (!done) return done.error();
  // The limit of the system is some hundred packets; beyond it only the first may go.
  if (!set(socket, SOL_SOCKET, SO_RCVBUFFORCE, kQueue, "SO_RCVBUFFORCE")) {
    (void)set(socket, SOL_SOCKET, SO_RCVBUF, kQueue, "SO_RCVBUF");
  }
  // With all protocols it is asked before IP is, and the packet goes on as it was; a socket for
  // one of them would be asked afterwards, and IP would have to copy each packet.
  if (done = bind_to(socket, device, ETH_P_ALL); !done) return done.error();
  return fd;
}

std::uint64_t take_lost_frames(int socket) {
  tpacket_stats statistics{};
  socklen_t size = sizeof statistics;
  if (::getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, &statistics, &size) != 0) return 0;
  return statistics.tp_drops;
}

Result<Fd> open_device_guard(IfIndex device) {
  // With a protocol that nobody speaks (IEEE 802, "local experimental"): with none the kernel does
  // not tell the socket what happens to its device.
  constexpr std::uint16_t kUnused = 0x88b5;
  return open_bound(device, kUnused);
}

}  // namespace hairpin::platform
