// A switch with a TAP device at each port: tap_bridge NAME NAME...
//
// Learns which hardware address is behind which port; what it does not know goes to all. Each port
// is a coroutine of Boost.Asio. The devices may be moved to other network namespaces afterwards:
//
//   tap_bridge tap0 tap1 &
//   ip link set tap0 netns one; ip link set tap1 netns two
#include <hairpin/device/async.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <map>
#include <vector>

namespace asio = boost::asio;
using namespace hairpin::device;

namespace {

using Ports = std::vector<AsyncDevice>;

class Bridge {
 public:
  explicit Bridge(Ports ports) : ports_(std::move(ports)) {}

  asio::awaitable<void> serve(std::size_t port) {
    std::array<std::byte, 65536> buffer;
    for (;;) {
      const std::size_t size = co_await ports_[port].async_read(buffer, asio::use_awaitable);
      const auto frame = std::span(buffer).first(size);
      if (size < 14) continue;
      where_[address_at(frame, 6)] = port;
      forward(frame, port);
    }
  }
  std::size_t size() const { return ports_.size(); }

 private:
  static HardwareAddress address_at(std::span<const std::byte> frame, std::size_t offset) {
    HardwareAddress address{};
    std::ranges::transform(frame.subspan(offset, address.size()), address.begin(),
                           [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
    return address;
  }

  void forward(std::span<const std::byte> frame, std::size_t from) {
    const HardwareAddress to = address_at(frame, 0);
    const bool to_all = (to[0] & 1) != 0;  // broadcast and multicast
    const auto known = where_.find(to);
    for (std::size_t port = 0; port < ports_.size(); ++port) {
      if (port == from) continue;
      if (!to_all && known != where_.end() && known->second != port) continue;
      (void)ports_[port].device().write(frame, kDoNotWait);  // a port that is down loses frames
    }
  }

  Ports ports_;
  std::map<HardwareAddress, std::size_t> where_;
};

}  // namespace

int main(int argc, char** argv) {
  asio::io_context context;
  Ports ports;
  for (int i = 1; i < argc; ++i) {
    auto opened = Device::open({.name = argv[i], .layer = Layer::ethernet});
    if (!opened) return std::fprintf(stderr, "%s\n", opened.error().text().c_str()), 1;
    auto port = AsyncDevice::create(context.get_executor(), std::move(*opened));
    if (!port) return std::fprintf(stderr, "%s\n", port.error().text().c_str()), 1;
    ports.push_back(std::move(*port));
  }
  Bridge bridge(std::move(ports));
  for (std::size_t port = 0; port < bridge.size(); ++port) {
    asio::co_spawn(context, bridge.serve(port), asio::detached);
  }
  std::printf("%zu ports\n", bridge.size());
  std::fflush(stdout);
  context.run();
}
