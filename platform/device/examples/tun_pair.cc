// A wire between two TUN devices: tun_pair [offload] NAME NAME
//
// Carries packets in batches, one thread for each direction. With "offload" the kernel hands
// packets of up to 64 KiB over; they are cut to wire size and put together again, as a tunnel would
// do that sends them over a network. The devices may be moved to other network namespaces
// afterwards:
//
//   tun_pair offload tun0 tun1 &
//   ip link set tun0 netns one; ip link set tun1 netns two
#include <hairpin/device/device.h>

#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

using namespace hairpin;

namespace {

void carry(device::Device& from, device::Device& to) {
  device::Batch batch(128, 65536);
  std::vector<std::span<const std::byte>> packets;
  for (;;) {
    const auto size = from.read_batch(batch);
    if (!size) return (void)std::fprintf(stderr, "%s\n", size.error().text().c_str());
    packets.clear();
    for (std::size_t i = 0; i < batch.size(); ++i) packets.push_back(batch[i]);
    (void)to.write_batch(packets);
  }
}

Result<device::Device> open(const char* name, bool offload) {
  device::DeviceOptions options;
  options.name = name;
  options.offload = offload;
  return device::Device::open(options);
}

}  // namespace

int main(int argc, char** argv) {
  const bool offload = argc == 4 && std::string_view(argv[1]) == "offload";
  if (argc != 3 && !offload) return std::fprintf(stderr, "tun_pair [offload] NAME NAME\n"), 2;
  auto one = open(argv[argc - 2], offload);
  if (!one) return std::fprintf(stderr, "%s\n", one.error().text().c_str()), 1;
  auto other = open(argv[argc - 1], offload);
  if (!other) return std::fprintf(stderr, "%s\n", other.error().text().c_str()), 1;
  std::printf("up\n");
  std::fflush(stdout);
  std::thread back([&] { carry(*other, *one); });
  carry(*one, *other);
  back.join();
}
