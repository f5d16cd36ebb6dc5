// A wire between two TUN devices: tun_pair [cut|whole] NAME NAME
//
// One thread carries packets in each direction. Without a word the kernel hands packets over as
// they would go over a wire. With "cut" it hands over packets of up to 64 KiB, which are cut to
// what a wire carries and put together again, as a tunnel does that sends them over a network. With
// "whole" large packets are handed on as they are. The devices may be moved to other network
// namespaces afterwards:
//
//   tun_pair cut tun0 tun1 &
//   ip link set tun0 netns one; ip link set tun1 netns two
#include <hairpin/device/device.h>

#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

using namespace hairpin;

namespace {

int complain(const Error& error) {
  std::fprintf(stderr, "%s\n", error.text().c_str());
  return 1;
}

/// In batches; with offload these are cut and put together.
void carry_batches(device::Device& from, device::Device& to) {
  device::Batch batch(128, 65536);
  std::vector<std::span<const std::byte>> packets;
  for (;;) {
    const auto size = from.read_batch(batch);
    if (!size) return (void)complain(size.error());
    packets.clear();
    for (std::size_t i = 0; i < batch.size(); ++i) packets.push_back(batch[i]);
    (void)to.write_batch(packets);  // a device that is down loses packets
  }
}

/// With the header that says what is left undone.
void carry_whole(device::Device& from, device::Device& to) {
  std::vector<std::byte> buffer(65536);
  nat::VnetHeader header;
  for (;;) {
    const auto size = from.read(buffer, header);
    if (!size) return (void)complain(size.error());
    (void)to.write(std::span(buffer).first(*size), header);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 4 ? argv[1] : "";
  if (argc != (mode.empty() ? 3 : 4) || (argc == 4 && mode != "cut" && mode != "whole")) {
    std::fprintf(stderr, "tun_pair [cut|whole] NAME NAME\n");
    return 2;
  }
  auto one = device::Device::open({.name = argv[argc - 2], .offload = !mode.empty()});
  if (!one) return complain(one.error());
  auto other = device::Device::open({.name = argv[argc - 1], .offload = !mode.empty()});
  if (!other) return complain(other.error());
  std::printf("up\n");
  std::fflush(stdout);
  const auto carry = mode == "whole" ? carry_whole : carry_batches;
  std::thread back([&] { carry(*other, *one); });
  carry(*one, *other);
  back.join();
}
