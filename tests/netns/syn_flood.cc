// Sends SYNs from random addresses, ports and sequence numbers: SECONDS RATE NETWORK TO PORT. RATE
// is for each second; 0: as fast as the kernel takes them. NETWORK is the first half of the
// sources. Prints how many were sent, and in how many seconds.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <thread>

#include "support/packets.h"

int main(int argc, char** argv) {
  using namespace hairpin;        // NOLINT(google-build-using-namespace)
  using namespace hairpin::test;  // NOLINT(google-build-using-namespace)
  if (argc != 6) return 2;
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  const double seconds = std::atof(words[1]);
  const double rate = std::atof(words[2]);
  const IpAddr network = ip(words[3]);
  const Endpoint to{ip(words[4]), static_cast<std::uint16_t>(std::atoi(words[5]))};
  const int socket = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (socket < 0) return 1;
  sockaddr_storage address{};
  const socklen_t length = Endpoint{to.address, 0}.to_sockaddr(address);

  constexpr std::size_t kBatch = 64;
  std::mt19937 random(std::random_device{}());
  std::array<Bytes, kBatch> packets;
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    packets[i] = tcp({network, 1}, to, 2);
    parts[i] = {packets[i].data(), packets[i].size()};
    messages[i].msg_hdr = {&address, length, &parts[i], 1, nullptr, 0, 0};
  }
  // Only these words differ from the first packet, whose sum is right: it is carried over.
  constexpr std::array<std::size_t, 4> kWords{14, 20, 24, 26};  // source, port, sequence
  constexpr std::size_t kChecksum = 36;
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&start] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::uint64_t sent = 0;
  while (elapsed() < seconds) {
    if (rate > 0 && static_cast<double>(sent) > rate * elapsed()) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    for (Bytes& packet : packets) {
      unsigned sum = ~get16(packet, kChecksum) & 0xffff;
      for (const std::size_t word : kWords) {
        const auto value = static_cast<unsigned>(random() % 0xfffe + 1);
        sum += (~get16(packet, word) & 0xffff) + value;
        set16(packet, word, value);
      }
      while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
      set16(packet, kChecksum, ~sum & 0xffff);
    }
    const int done = ::sendmmsg(socket, messages.data(), kBatch, 0);
    if (done > 0) sent += static_cast<std::uint64_t>(done);
  }
  std::printf("%llu %.3f\n", static_cast<unsigned long long>(sent), elapsed());
  return 0;
}
