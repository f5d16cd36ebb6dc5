#include "outbound/dialer.h"

#include <sys/socket.h>

#include <array>

#include "outbound/outbound.h"

namespace hairpin::outbound {

platform::Binding DialOptions::binding(const Worker& worker, const IpAddr& to) const {
  const bool follows = follow_uplink && interface.empty() && !to.is_private();
  return {mark, follows ? worker.uplink : interface};
}

Task<Result<Connection>> dial(Worker& worker, const Endpoint& to, const DialOptions& options) {
  auto fd =
      platform::start_connect_tcp(to, options.binding(worker, to.address), options.congestion);
  if (!fd) co_return fd.error();
  LoopGuard::Entry guard;
  if (const auto local = platform::local_endpoint(fd->get())) {
    guard = worker.loop_guard.remember_tcp(*local, to);
  }
  auto socket = worker.watch(std::move(*fd));
  if (!socket) co_return std::move(socket.error()).in("connect " + to.text());
  Connection connection{std::move(*socket), std::move(guard), {}};
  const Deadline deadline(worker.watchdog, connection.socket, options.connect_timeout);
  auto [ec] = co_await connection.socket.async_wait(Wait::wait_write, kAsTuple);
  if (deadline.expired()) co_return Error{"connect " + to.text(), ETIMEDOUT};
  if (ec) co_return Error{"connect " + to.text(), ECANCELED};
  auto outcome = platform::connect_outcome(connection.socket.native_handle(), to);
  if (!outcome) co_return outcome.error();
  options.congestion.settle(connection.socket.native_handle());
  co_return connection;
}

namespace {

Task<Result<Connection>> dial_by_detour(config::Server server, Outbound& detour) {
  if (!detour.carries(config::Network::tcp)) {
    co_return Error{"detour " + detour.tag() + " carries no TCP", EOPNOTSUPP};
  }
  auto connection = co_await detour.connect(target_of(server));
  if (!connection) co_return std::move(connection.error()).in("via " + detour.tag());
  co_return std::move(*connection);
}

}  // namespace

Task<Result<Connection>> dial(Worker& worker, const config::Server& server,
                              const DialOptions& options) {
  if (options.detour) co_return co_await dial_by_detour(server, *options.detour);
  auto addresses = co_await worker.resolver.resolve(server.host, options.connect_timeout);
  if (!addresses) co_return addresses.error();
  Error last;
  for (const IpAddr& address : *addresses) {
    const Endpoint to{address, server.port};
    auto connection = co_await dial(worker, to, options);
    if (connection) co_return std::move(*connection);
    last = connection.error();
  }
  co_return last;
}

Task<Result<>> Handshake::send(std::span<const std::byte> message) {
  while (!message.empty()) {
    const ssize_t sent = ::send(socket_.native_handle(), message.data(), message.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      message = message.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno != EAGAIN) co_return last_error("send to the proxy");
    auto [ec] = co_await socket_.async_wait(Wait::wait_write, kAsTuple);
    if (deadline_.expired()) co_return Error{"handshake with the proxy", ETIMEDOUT};
    if (ec) co_return Error{"handshake with the proxy", ECANCELED};
  }
  co_return Result<>();
}

Task<Result<>> Handshake::receive_more() {
  std::array<std::byte, 1024> buffer;
  for (;;) {
    // Waits first: something has just been sent, and the answer cannot be there yet.
    auto [ec] = co_await socket_.async_wait(Wait::wait_read, kAsTuple);
    if (deadline_.expired()) co_return Error{"handshake with the proxy", ETIMEDOUT};
    if (ec) co_return Error{"handshake with the proxy", ECANCELED};
    const ssize_t got = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      received_.insert(received_.end(), buffer.begin(), buffer.begin() + got);
      co_return Result<>();
    }
    if (got == 0) co_return Error{"the proxy closed the connection in the handshake"};
    if (errno != EAGAIN) co_return last_error("receive from the proxy");
  }
}

}  // namespace hairpin::outbound
