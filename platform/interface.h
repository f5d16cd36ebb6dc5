// Network interfaces of the calling thread's network namespace: find, configure, ask for addresses.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// Error code ENODEV when there is no such interface.
Result<IfIndex> interface_index(const std::string& name);

struct FoundInterface {
  IfIndex index;
  std::string name;
  bool usable = false;  ///< Up, with a carrier.
};
/// All interfaces.
Result<std::vector<FoundInterface>> list_interfaces();

struct InterfaceSettings {
  std::vector<Prefix> addresses;
  unsigned mtu = 0;           ///< Bytes; 0 leaves it.
  unsigned queue_length = 0;  ///< Packets; 0 leaves it.
  unsigned segment_max = 0;   ///< Bytes sent at once, to be cut later (GSO); 0 leaves it.
};

/// Sets MTU, queue length and addresses, keeps the kernel from adding addresses of its own (IPv6
/// link-local), and brings the interface up. Addresses that are there already are no error.
Result<> configure_interface(const std::string& name, const InterfaceSettings& settings);

struct InterfaceSize {
  unsigned mtu = 0;           ///< Bytes.
  unsigned queue_length = 0;  ///< Packets; 0: it is not counted in packets.
};
/// Error code ENODEV when there is no such interface.
Result<InterfaceSize> interface_size(const std::string& name);

/// Brings `lo` of the namespace up.
Result<> bring_up_loopback();

/// All addresses of one interface.
Result<std::vector<IpAddr>> interface_addresses(IfIndex interface);

/// All addresses of this host.
Result<std::vector<IpAddr>> local_addresses();

/// Lets packets that arrive on `name` be checked by the kernel's reverse-path filter with their
/// mark (net.ipv4.conf.NAME.src_valid_mark): see stack/tun_link.cc for why.
Result<> check_source_with_mark(const std::string& name);

/// The reverse-path filter in force for `name`: the larger of its own and of "all" (0, 1, 2).
Result<int> reverse_path_filter(const std::string& name);

/// Has the reverse-path filter of `name` content itself with any route to the source, unless it is
/// off altogether ("loose", RFC 3704): nothing else about the host changes.
Result<> loosen_source_check(const std::string& name);

}  // namespace hairpin::platform
