// TUN and TAP devices of Linux (Documentation/networking/tuntap.rst, linux/if_tun.h).
#include "platform/device/device.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cstring>

#include "base/fd.h"
#include "platform/device/descriptor_queue.h"
#include "platform/device/impl.h"
#include "platform/device/netlink.h"

// Debian 12's headers are of Linux 6.1; these came with 6.2. Older kernels refuse them: we fall
// back.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace hairpin::device {

namespace {

constexpr const char* kPath = "/dev/net/tun";

std::string descriptor_text(int fd) {
  return "descriptor " + std::to_string(fd);
}

/// A device that is there already: TUNSETIFF would attach to it, were it persistent or had it
/// several queues. Only what was asked for is taken.
Result<> check_name(const DeviceOptions& options) {
  if (options.name.size() >= IFNAMSIZ) {
    return Error{"interface name " + options.name + " (at most 15 characters)", ENAMETOOLONG};
  }
  const bool taken = !options.name.empty() && if_nametoindex(options.name.c_str()) != 0;
  if (taken && !options.reuse) {
    return Error{"interface " + options.name + " exists already", EBUSY};
  }
  return {};
}

unsigned flags_of(const DeviceOptions& options) {
  unsigned flags = options.layer == Layer::ethernet ? IFF_TAP : IFF_TUN;
  flags |= IFF_NO_PI;
  if (options.offload) flags |= IFF_VNET_HDR;
  if (options.multi_queue) flags |= IFF_MULTI_QUEUE;
  return flags;
}

/// `name` becomes what the kernel has called it.
Result<Fd> open_queue(std::string& name, unsigned flags) {
  Fd fd(::open(kPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return last_error(std::string("open ") + kPath);
  ifreq request{};
  std::strncpy(static_cast<char*>(request.ifr_name), name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return last_error("TUNSETIFF " + name);
  name = static_cast<const char*>(request.ifr_name);
  return fd;
}

struct Offloads {
  bool tcp = false;
  bool udp = false;
};

/// Offloads are a property of the device, set through any queue. Each step down is what an older
/// kernel can do. A persistent device may have kept those of its last owner: they are cleared.
Offloads request_offloads(int fd, bool wanted, bool udp) {
  constexpr unsigned long kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  const auto set = [fd](unsigned long offloads) {
    return ::ioctl(fd, TUNSETOFFLOAD, offloads) == 0;
  };
  if (!wanted) return (void)set(0), Offloads{};
  if (udp && set(kTcp | TUN_F_USO4 | TUN_F_USO6)) return {true, true};
  if (set(kTcp)) return {true, false};
  (void)set(TUN_F_CSUM);
  return {};
}

/// The layout that nat::VnetHeader has.
Result<> set_header_size(int fd, const std::string& name) {
  int size = sizeof(nat::VnetHeader);
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) return last_error("TUNSETVNETHDRSZ " + name);
  return {};
}

/// What TUNGETIFF says of a descriptor.
struct Found {
  std::string name;
  unsigned flags = 0;
};

Result<Found> look_at(int fd) {
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) {
    const int code = errno;
    return Error{
        descriptor_text(fd) + (code == EBADF ? " is not open" : " is not a TUN device, nor a TAP"),
        code};
  }
  return Found{static_cast<const char*>(request.ifr_name),
               static_cast<unsigned short>(request.ifr_flags)};
}

/// Whether packets carry information. TUNGETIFF of Linux 6.18 says of every device that they do
/// not; rtnetlink knows, where the device is in our network namespace.
bool has_information(const Found& found) {
  bool information = (found.flags & IFF_NO_PI) == 0;
  auto netlink = Netlink::open();
  if (!netlink) return information;
  NetlinkMessage message(RTM_GETLINK, 0);
  message.header<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put_text(IFLA_IFNAME, found.name);
  const auto read_data = [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == IFLA_TUN_PI) {
      information = mnl_attr_get_u8(&attribute) != 0;
    }
  };
  (void)netlink->get(message, "look at " + found.name, [&](const nlmsghdr& answer) {
    for_each_attribute(answer, sizeof(ifinfomsg), [&](const nlattr& outer) {
      if (mnl_attr_get_type(&outer) != IFLA_LINKINFO) return;
      for_each_nested(outer, [&](const nlattr& inner) {
        if (mnl_attr_get_type(&inner) == IFLA_INFO_DATA) for_each_nested(inner, read_data);
      });
    });
  });
  return information;
}

Result<> make_non_blocking(int fd) {
  const int status = ::fcntl(fd, F_GETFL);
  if (status < 0 || ::fcntl(fd, F_SETFL, status | O_NONBLOCK) != 0 ||
      ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return last_error("fcntl " + descriptor_text(fd));
  }
  return {};
}

// (The C libraries do not agree on the type of a request; its numbers have 32 bits.)
Result<> control(int fd, unsigned request, unsigned long value, const char* what) {
  if (::ioctl(fd, request, value) != 0) return last_error(what);
  return {};
}

const DescriptorQueue& descriptor_queue(const Queue& queue) {
  return dynamic_cast<const DescriptorQueue&>(queue);
}

/// All that a new device is told, in an order that the kernel takes.
Result<> settle(Device& device, const DeviceOptions& options) {
  const auto index = device.index();
  if (!index) return index.error();
  if (!options.generated_addresses.value_or(options.layer == Layer::ethernet)) {
    if (auto done = disable_generated_addresses(*index); !done) return done;
  }
  InterfaceChange change;
  change.mtu = options.mtu;
  change.queue_length = options.queue_length;
  change.hardware_address = options.hardware_address;
  if (options.up) change.up = true;
  if (auto done = change_interface(*index, change); !done) return done;
  for (const InterfaceAddress& address : options.addresses) {
    auto added = add_address(*index, address);
    const bool there = options.reuse && added.has_error() && added.error().code == EEXIST;
    if (!added && !there) return added;
  }
  if (options.owner) {
    if (auto done = device.set_owner(*options.owner); !done) return done;
  }
  if (options.group) {
    if (auto done = device.set_group(*options.group); !done) return done;
  }
  if (options.persistent) {
    if (auto done = device.set_persistent(true); !done) return done;
  }
  // The kernel drops what is sent until it has noticed that somebody is at the other end again; it
  // notices when it is asked.
  if (auto state = interface_state(*index); !state) return state.error();
  return {};
}

}  // namespace

Result<Device> Device::open(const DeviceOptions& options) {
  if (auto may = check_name(options); !may) return may.error();
  std::string name = options.name;
  auto fd = open_queue(name, flags_of(options));
  if (!fd) return fd.error();
  if (options.offload) {
    if (auto done = set_header_size(fd->get(), name); !done) return done.error();
  }
  const Offloads offloads = request_offloads(fd->get(), options.offload, options.offload_udp);
  auto queue = DescriptorQueue::create(std::move(*fd),
                                       {options.layer, Framing::bare, options.offload}, name);
  if (!queue) return queue.error();
  auto impl = std::make_unique<Impl>();
  impl->queue = std::move(*queue);
  impl->layer = options.layer;
  impl->offload = options.offload;
  impl->segments_tcp = offloads.tcp;
  impl->segments_udp = offloads.udp;
  impl->multi_queue = options.multi_queue;
  Device device(std::move(impl));
  if (auto done = settle(device, options); !done) return done.error();
  return device;
}

Result<Device> Device::adopt(int descriptor, const AdoptOptions& options) {
  QueueShape shape{options.layer, options.framing.value_or(Framing::bare), false};
  auto found = look_at(descriptor);
  const bool known = found.has_value();
  if (!known && (!options.framing || found.error().code == EBADF)) return found.error();
  if (!known) found = Found{descriptor_text(descriptor), 0};
  if (!options.name.empty() && options.name != found->name) {
    return Error{descriptor_text(descriptor) + " is the device " + found->name + ", not " +
                 options.name};
  }
  Offloads offloads;
  if (known) {
    shape.layer = (found->flags & IFF_TAP) != 0 ? Layer::ethernet : Layer::ip;
    shape.vnet_header = (found->flags & IFF_VNET_HDR) != 0;
    if (!options.framing && has_information(*found)) shape.framing = Framing::information;
    if (shape.vnet_header) {
      if (auto done = set_header_size(descriptor, found->name); !done) return done.error();
      offloads = request_offloads(descriptor, true, true);
    }
  }
  if (auto done = make_non_blocking(descriptor); !done) return done.error();
  auto event = Event::open();
  if (!event) return event.error();
  auto impl = std::make_unique<Impl>();
  impl->layer = shape.layer;
  impl->offload = shape.vnet_header;
  impl->segments_tcp = offloads.tcp;
  impl->segments_udp = offloads.udp;
  impl->multi_queue = (found->flags & IFF_MULTI_QUEUE) != 0;
  // Nothing can fail any more: from here on the descriptor is ours.
  impl->queue =
      std::make_unique<DescriptorQueue>(Fd(descriptor), std::move(*event), shape, found->name);
  return Device(std::move(impl));
}

Result<Device> Device::clone() const {
  if (!impl_->multi_queue) return Error{"clone: the device has one queue only", EINVAL};
  const QueueShape& shape = descriptor_queue(*impl_->queue).shape();
  auto name_now = name();
  if (!name_now) return name_now.error();
  unsigned flags = shape.layer == Layer::ethernet ? IFF_TAP : IFF_TUN;
  flags |= IFF_MULTI_QUEUE;
  if (shape.framing == Framing::bare) flags |= IFF_NO_PI;
  if (shape.vnet_header) flags |= IFF_VNET_HDR;
  auto fd = open_queue(*name_now, flags);
  if (!fd) return fd.error();
  auto queue = DescriptorQueue::create(std::move(*fd), shape, *name_now);
  if (!queue) return queue.error();
  (*queue)->set_packet_information(packet_information());
  auto impl = std::make_unique<Impl>();
  impl->queue = std::move(*queue);
  impl->layer = impl_->layer;
  impl->offload = impl_->offload;
  impl->segments_tcp = impl_->segments_tcp;
  impl->segments_udp = impl_->segments_udp;
  impl->multi_queue = true;
  return Device(std::move(impl));
}

Framing Device::framing() const {
  return descriptor_queue(*impl_->queue).shape().framing;
}

Result<std::string> Device::name() const {
  const auto found = look_at(descriptor());
  if (!found) return found.error();
  return {boost::system::in_place_value, found->name};
}

Result<> Device::set_persistent(bool persistent) const {
  return control(descriptor(), TUNSETPERSIST, persistent ? 1UL : 0UL, "TUNSETPERSIST");
}

Result<> Device::set_owner(std::uint32_t user) const {
  return control(descriptor(), TUNSETOWNER, user, "TUNSETOWNER");
}

Result<> Device::set_group(std::uint32_t group) const {
  return control(descriptor(), TUNSETGROUP, group, "TUNSETGROUP");
}

Result<> Device::set_attached(bool attached) const {
  ifreq request{};
  request.ifr_flags = static_cast<short>(attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
  if (::ioctl(descriptor(), TUNSETQUEUE, &request) != 0) return last_error("TUNSETQUEUE");
  return {};
}

int Device::descriptor() const {
  return descriptor_queue(*impl_->queue).descriptor();
}

int Device::release() {
  return dynamic_cast<DescriptorQueue&>(*impl_->queue).take().release();
}

}  // namespace hairpin::device
