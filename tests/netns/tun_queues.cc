// Sends datagrams into a TUN with several queues, answers them, and prints how many flows changed
// their queue: when answers go to the writer, and when they go to another queue than was read.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>

#include "platform/interface.h"
#include "platform/tun.h"

namespace {

using namespace hairpin;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kFlows = 200;
constexpr unsigned kQueues = 4;

struct Seen {
  std::size_t queue = 0;
  std::array<std::byte, 2048> packet{};
  std::size_t size = 0;
};

/// What has arrived for `destination`; nothing else is routed into the device.
std::optional<Seen> read_any(const platform::Tun& tun) {
  Seen seen;
  for (; seen.queue < tun.queues.size(); ++seen.queue) {
    const ssize_t got =
        ::read(tun.queues[seen.queue].get(), seen.packet.data(), seen.packet.size());
    if (got <= 0) continue;
    seen.size = static_cast<std::size_t>(got);
    return seen;
  }
  return std::nullopt;
}

/// The packet the other way round: IPv4 without options, UDP. No sum changes.
void turn(Seen& seen) {
  const auto swap = [&seen](std::size_t one, std::size_t other, std::size_t size) {
    std::swap_ranges(seen.packet.begin() + static_cast<std::ptrdiff_t>(one),
                     seen.packet.begin() + static_cast<std::ptrdiff_t>(one + size),
                     seen.packet.begin() + static_cast<std::ptrdiff_t>(other));
  };
  swap(12, 16, 4);
  swap(20, 22, 2);
}

/// Flows of which a later packet comes from another queue, or -1 when a packet does not come.
int moved_flows(const platform::Tun& tun, const Endpoint& to, bool to_writer) {
  sockaddr_storage address{};
  const socklen_t size = to.to_sockaddr(address);
  int moved = 0;
  for (std::size_t flow = 0; flow < kFlows; ++flow) {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM, 0));
    const auto send = [&] {
      (void)::sendto(socket.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), size);
      return read_any(tun);
    };
    auto first = send();
    if (!first) return -1;
    turn(*first);
    const Fd& queue = tun.queues[(first->queue + 1) % tun.queues.size()];
    (void)::write((to_writer ? tun.writer : queue).get(), first->packet.data(), first->size);
    const auto second = send();
    if (!second) return -1;
    moved += second->queue != first->queue ? 1 : 0;
  }
  return moved;
}

}  // namespace

int main() {
  auto tun = platform::open_tun({"hpq", kQueues, false, false});
  if (!tun) return std::puts(tun.error().text().c_str()), 1;
  const auto up = platform::configure_interface(tun->name, {{*Prefix::parse("198.18.0.1/24")}});
  if (!up) return std::puts(up.error().text().c_str()), 1;
  const Endpoint to{*IpAddr::parse("198.18.0.2"), 7};
  std::printf("writer %d, queue %d of %zu\n", moved_flows(*tun, to, true),
              moved_flows(*tun, to, false), kFlows);
}
