// The data path allocates nothing: counted, not believed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "nat/build.h"
#include "nat/offload.h"
#include "nat/translate.h"
#include "support/packets.h"

namespace {
std::size_t allocations = 0;
}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace hairpin::nat {
namespace {

using namespace hairpin::test;  // NOLINT(google-build-using-namespace)

TEST(NoAllocation, OnThePathOfAPacket) {
  const Translator translator(std::array{ip("172.18.0.1"), ip("fdfe:dcba:9876::1")});
  Bytes segment = tcp({ip("172.18.0.1"), 40000}, {ip("203.0.113.1"), 80}, TcpHeader::kAck, 1000);
  Bytes answer = tcp({ip("2001:db8::1"), 40000}, {ip("2001:db8::2"), 80}, TcpHeader::kAck, 1000);
  Bytes ping = icmp(ip("192.0.2.1"), ip("203.0.113.1"), 8, 0);
  Bytes datagram = udp({ip("192.0.2.1"), 1}, {ip("203.0.113.1"), 2}, 100);
  const Endpoint server{ip("203.0.113.1"), 1};
  const Endpoint client{ip("192.0.2.1"), 2};
  Bytes buffer(2000);
  Packet packet;
  VnetHeader cut;
  cut.gso_type = VnetHeader::kGsoTcp4;
  cut.gso_size = 100;
  Segmenter segmenter;
  Coalescer coalescer;

  const std::size_t before = allocations;
  for (int i = 0; i < 100; ++i) {
    (void)translator.outer(segment, packet);
    (void)translator.inner(answer, packet);
    (void)translator.outer(ping, packet);
    make_echo_reply(packet, Coverage::complete);
    (void)Packet::parse(datagram, packet);
    (void)icmp_error(packet, Refusal::port, buffer);
    (void)Packet::parse(segment, packet);
    (void)tcp_reset(packet, buffer);
    (void)prepend_udp(buffer, 64, 500, server, client, 1, Coverage::complete);
    ASSERT_TRUE(segmenter.begin(cut, segment));
    while (segmenter.next(buffer) != 0) continue;
    coalescer.clear();
    ASSERT_TRUE(coalescer.add(segment));
    ASSERT_TRUE(coalescer.add(datagram));
    (void)coalescer[0];
  }
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace hairpin::nat
