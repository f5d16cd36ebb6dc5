#include <net/if.h>
#include <net/route.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>

#include "base/fd.h"
#include "platform/interface.h"
#include "platform/interface_routes.h"
#include "platform/route_message.h"

namespace hairpin::platform {

namespace {

// What route_message.cc writes is what this system reads.
static_assert(darwin::kHeaderSize == sizeof(rt_msghdr));
static_assert(darwin::kTypeAt == offsetof(rt_msghdr, rtm_type));
static_assert(darwin::kIndexAt == offsetof(rt_msghdr, rtm_index));
static_assert(darwin::kFlagsAt == offsetof(rt_msghdr, rtm_flags));
static_assert(darwin::kAddressesAt == offsetof(rt_msghdr, rtm_addrs));
static_assert(darwin::kProcessAt == offsetof(rt_msghdr, rtm_pid));
static_assert(darwin::kSequenceAt == offsetof(rt_msghdr, rtm_seq));
static_assert(darwin::kErrorAt == offsetof(rt_msghdr, rtm_errno));
static_assert(darwin::kVersion == RTM_VERSION);
static_assert(static_cast<int>(darwin::RouteVerb::add) == RTM_ADD);
static_assert(static_cast<int>(darwin::RouteVerb::remove) == RTM_DELETE);
static_assert(static_cast<int>(darwin::RouteVerb::change) == RTM_CHANGE);
static_assert(static_cast<int>(darwin::RouteVerb::get) == RTM_GET);

/// The write(2) itself fails with what the kernel has to say.
Result<> ask(const darwin::RouteRequest& request, const std::string& what, int no_error) {
  const Fd socket(::socket(PF_ROUTE, SOCK_RAW, AF_UNSPEC));
  if (!socket) return last_error("open routing socket");
  const auto bytes = darwin::encode(request);
  if (::write(socket.get(), bytes.data(), bytes.size()) < 0 && errno != no_error) {
    return last_error(what);
  }
  return {};
}

Result<darwin::RouteRequest> request_for(darwin::RouteVerb verb, const Prefix& destination,
                                         const std::string& interface) {
  const auto index = interface_index(interface);
  if (!index) return index.error();
  darwin::RouteRequest request;
  request.verb = verb;
  request.destination = destination;
  request.gateway = *index;
  return request;
}

}  // namespace

Result<> add_interface_route(const Prefix& destination, const std::string& interface) {
  const auto request = request_for(darwin::RouteVerb::add, destination, interface);
  if (!request) return request.error();
  return ask(*request, "add route " + destination.text() + " to " + interface, EEXIST);
}

Result<> remove_interface_route(const Prefix& destination, const std::string& interface) {
  const auto request = request_for(darwin::RouteVerb::remove, destination, interface);
  if (!request) return request.error();
  return ask(*request, "remove route " + destination.text() + " from " + interface, ESRCH);
}

Result<std::string> find_uplink(const std::string& /*own*/) {
  return Error{"find the interface that leads out", ENOSYS};
}

}  // namespace hairpin::platform
