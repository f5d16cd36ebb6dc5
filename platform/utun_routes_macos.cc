#include <net/if.h>
#include <net/route.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <vector>

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

/// All routes of a family, as messages.
Result<std::vector<std::byte>> list_routes(int family) {
  std::array<int, 6> what{CTL_NET, PF_ROUTE, 0, family, NET_RT_DUMP, 0};
  std::vector<std::byte> bytes;
  // The table may grow between the two questions.
  for (int attempt = 0; attempt < 8; ++attempt) {
    std::size_t size = 0;
    if (::sysctl(what.data(), what.size(), nullptr, &size, nullptr, 0) != 0) break;
    bytes.resize(size + size / 8);
    size = bytes.size();
    if (::sysctl(what.data(), what.size(), bytes.data(), &size, nullptr, 0) == 0) {
      bytes.resize(size);
      return bytes;
    }
    if (errno != ENOMEM) break;
  }
  return last_error("list routes");
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

Result<std::string> find_uplink(const std::string& own) {
  // Ours may be gone meanwhile: then nothing leads to it.
  const auto index = interface_index(own);
  for (const int family : {AF_INET, AF_INET6}) {
    const auto routes = list_routes(family);
    if (!routes) return routes.error();
    const IfIndex found = darwin::default_interface(*routes, index ? *index : IfIndex{});
    std::array<char, IF_NAMESIZE> name{};
    if (found && ::if_indextoname(static_cast<unsigned>(found.value()), name.data()) != nullptr) {
      return Result<std::string>(boost::system::in_place_value, name.data());
    }
  }
  return Result<std::string>(boost::system::in_place_value);
}

}  // namespace hairpin::platform
