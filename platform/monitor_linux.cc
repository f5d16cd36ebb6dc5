#include "platform/monitor.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <initializer_list>

namespace hairpin::platform {

namespace {

/// Bytes of messages that wait to be read: some dozens.
constexpr int kQueue = 16 * 1024;

Result<Fd> subscribe(int protocol, std::initializer_list<int> groups) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd) return last_error("open netlink socket");
  const int queue = kQueue;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &queue, sizeof queue);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return last_error("bind netlink socket");
  }
  for (const int group : groups) {
    if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return last_error("listen to netlink group " + std::to_string(group));
    }
  }
  return fd;
}

std::int64_t milliseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

Result<Monitor> Monitor::open() {
  auto routes = subscribe(
      NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                      RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE});
  if (!routes) return routes.error();
  auto tables = subscribe(NETLINK_NETFILTER, {NFNLGRP_NFTABLES});
  // Who may not hear of tables has none to keep.
  if (!tables && tables.error().code == EPERM) tables = subscribe(NETLINK_NETFILTER, {});
  if (!tables && tables.error().code != EPROTONOSUPPORT) return tables.error();
  Monitor monitor;
  monitor.routes_ = std::move(*routes);
  if (tables) monitor.tables_ = std::move(*tables);
  return monitor;
}

void Monitor::hear_tables(bool wanted) {
  if (!tables_) return;
  const int group = NFNLGRP_NFTABLES;
  // This cannot fail: the group is known, and memberships need no memory of their own.
  ::setsockopt(tables_.get(), SOL_NETLINK,
               wanted ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group, sizeof group);
}

void Monitor::drain(int socket) {
  std::array<char, 64> start;  // the rest of each message is thrown away
  while (::recv(socket, start.data(), start.size(), MSG_DONTWAIT) >= 0 || errno == ENOBUFS) {
  }
}

std::int64_t time_asleep() {
  return milliseconds(CLOCK_BOOTTIME) - milliseconds(CLOCK_MONOTONIC);
}

}  // namespace hairpin::platform
