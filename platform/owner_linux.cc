#include "platform/owner.h"

#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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

bool holds_link(const std::string& process, const std::string& wanted) {
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

/// 0: it is none.
pid_t process_number(std::string_view name) {
  pid_t number = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == name.data() + name.size() ? number : 0;
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

Result<SocketFinder> SocketFinder::open() {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!socket) return last_error("open sock_diag socket");
  return SocketFinder(std::move(socket));
}

Result<SocketFinder::Found> SocketFinder::find(Transport protocol, const Endpoint& own,
                                               const Endpoint& other) {
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = own.address.is_v4() ? AF_INET : AF_INET6;
  request.body.sdiag_protocol = static_cast<std::uint8_t>(protocol);
  request.body.idiag_states = ~0U;
  inet_diag_sockid& id = request.body.id;
  // Of UDP the kernel takes them for those of a datagram that has come, "for historical reasons"
  // (net/ipv4/udp_diag.c).
  const bool turned = protocol == Transport::udp;
  const Endpoint& source = turned ? other : own;
  const Endpoint& destination = turned ? own : other;
  id.idiag_sport = htons(source.port);
  id.idiag_dport = htons(destination.port);
  std::ranges::copy(source.address.bytes(), reinterpret_cast<std::uint8_t*>(id.idiag_src));
  std::ranges::copy(destination.address.bytes(), reinterpret_cast<std::uint8_t*>(id.idiag_dst));
  std::ranges::fill(id.idiag_cookie, INET_DIAG_NOCOOKIE);
  if (::send(socket_.get(), &request, sizeof request, 0) < 0) return last_error("ask sock_diag");
  alignas(nlmsghdr) std::array<char, 8192> buffer{};
  const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (size < 0) return last_error("read sock_diag");
  const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
  if (!NLMSG_OK(message, static_cast<unsigned>(size))) return Error{"read sock_diag", EBADMSG};
  if (message->nlmsg_type == NLMSG_ERROR) {
    return Error{"sock_diag", -static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error};
  }
  const auto* entry = static_cast<const inet_diag_msg*>(NLMSG_DATA(message));
  return Found{entry->idiag_inode, entry->idiag_uid};
}

bool holds(pid_t process, std::uint64_t inode) {
  return holds_link(std::to_string(process), "socket:[" + std::to_string(inode) + "]");
}

pid_t first_holder(std::uint64_t inode, std::uint32_t user) {
  const std::string wanted = "socket:[" + std::to_string(inode) + "]";
  const Directory all(::opendir("/proc"));
  if (!all) return 0;
  while (const dirent* entry = ::readdir(all.get())) {
    const pid_t number = process_number(entry->d_name);
    struct stat owner{};
    if (number == 0 || ::stat(("/proc/" + std::to_string(number)).c_str(), &owner) != 0) continue;
    if (owner.st_uid == user && holds_link(entry->d_name, wanted)) return number;
  }
  return 0;
}

std::string executable_of(pid_t process) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::array<char, 4096> target{};
  const std::string link = "/proc/" + std::to_string(process) + "/exe";
  const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
  if (size <= 0) return "";
  std::string path(target.data(), static_cast<std::size_t>(size));
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path;
}

std::string user_name(std::uint32_t user) {
  std::array<char, 16384> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return "";
  }
  return found->pw_name;
}

std::vector<Process> holders_of(std::uint64_t inode) {
  const std::string wanted = "socket:[" + std::to_string(inode) + "]";
  std::vector<Process> holders;
  const Directory all(::opendir("/proc"));
  if (!all) return holders;
  while (const dirent* entry = ::readdir(all.get())) {
    const std::string_view name = entry->d_name;
    const pid_t number = process_number(name);
    if (number == 0) continue;
    if (!holds_link(std::string(name), wanted)) continue;
    Process process{number, {}};
    std::ifstream("/proc/" + std::string(name) + "/comm") >> process.name;
    holders.push_back(std::move(process));
  }
  return holders;
}

}  // namespace hairpin::platform
