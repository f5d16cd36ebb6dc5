#include "platform/owner.h"

#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <memory>

#include "base/fd.h"

namespace hairpin::platform {

namespace {

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

IpAddr address_of(std::uint8_t family, const __be32* words) {
  const auto* bytes = reinterpret_cast<const std::byte*>(words);
  const std::size_t size = family == AF_INET ? 4 : 16;
  return IpAddr::from_wire({bytes, size}).unmapped();
}

/// Adds the listeners of one family that are on `to`'s port.
Result<> list(std::uint8_t family, const Endpoint& to, std::vector<Listener>& found) {
  const Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!socket) return last_error("open sock_diag socket");
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = family;
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << TCP_LISTEN;
  request.body.id.idiag_sport = htons(to.port);
  if (::send(socket.get(), &request, sizeof request, 0) < 0) return last_error("ask sock_diag");
  for (;;) {
    alignas(nlmsghdr) std::array<char, 32768> buffer{};
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return last_error("read sock_diag");
    auto length = static_cast<unsigned>(size);
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
      if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) return {};
      const auto* entry = static_cast<const inet_diag_msg*>(NLMSG_DATA(message));
      if (ntohs(entry->id.idiag_sport) != to.port) continue;
      Listener listener{{address_of(entry->idiag_family, entry->id.idiag_src), to.port},
                        entry->idiag_uid,
                        entry->idiag_inode};
      const IpAddr& own = listener.address.address;
      if (own == to.address || own.is_unspecified()) found.push_back(std::move(listener));
    }
  }
}

using Directory = std::unique_ptr<DIR, decltype([](DIR* directory) { ::closedir(directory); })>;

bool holds(const std::string& process, const std::string& wanted) {
  const std::string path = "/proc/" + process + "/fd";
  const Directory open(::opendir(path.c_str()));
  if (!open) return false;
  while (const dirent* entry = ::readdir(open.get())) {
    std::array<char, 64> target{};
    const std::string link = path + "/" + entry->d_name;
    const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
    if (size > 0 && wanted == std::string_view(target.data(), static_cast<std::size_t>(size))) {
      return true;
    }
  }
  return false;
}

}  // namespace

Result<std::vector<Listener>> find_listeners(const Endpoint& to) {
  std::vector<Listener> found;
  if (to.address.is_v4()) {
    if (auto done = list(AF_INET, to, found); !done) return done.error();
  }
  if (auto done = list(AF_INET6, to, found); !done) return done.error();
  return found;
}

std::vector<Process> holders_of(std::uint64_t inode) {
  const std::string wanted = "socket:[" + std::to_string(inode) + "]";
  std::vector<Process> holders;
  const Directory all(::opendir("/proc"));
  if (!all) return holders;
  while (const dirent* entry = ::readdir(all.get())) {
    const std::string_view name = entry->d_name;
    pid_t number = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    if (!holds(std::string(name), wanted)) continue;
    Process process{number, {}};
    std::ifstream("/proc/" + std::string(name) + "/comm") >> process.name;
    holders.push_back(std::move(process));
  }
  return holders;
}

}  // namespace hairpin::platform
