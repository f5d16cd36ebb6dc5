// The rtnetlink requests of the device library, for the rest of platform/. Linux only.
#pragma once

#include "platform/device/netlink.h"

namespace hairpin::platform {

using device::for_each_attribute;
using device::Netlink;
using device::NetlinkMessage;

}  // namespace hairpin::platform
