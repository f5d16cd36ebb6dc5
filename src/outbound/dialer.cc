#include "outbound/dialer.h"

#include <sys/socket.h>

#include <array>

namespace hairpin::outbound {

DetachedConnection detach(Connection connection) {
  return {Fd(connection.socket.release()), std::move(connection.guard), std::move(connection.early),
          std::move(connection.resets)};
}

Result<Connection> attach(Worker& worker, DetachedConnection detached) {
  auto socket = worker.watch(std::move(detached.socket));
  if (!socket) return socket.error();
  return Connection{std::move(*socket), std::move(detached.guard), std::move(detached.early),
                    std::move(detached.resets)};
}

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

Task<Addresses> resolve(Worker& worker, const std::string& host, const DialOptions& options) {
  const bool asks_names = options.resolves_by_rules || !options.resolver.server.empty();
  if (const auto address = IpAddr::parse(host)) co_return std::vector<IpAddr>{*address};
  if (!asks_names || !worker.names) {
    co_return co_await worker.resolver.resolve(host, options.connect_timeout);
  }
  const auto names = worker.names;  // may be replaced meanwhile
  co_return co_await names->lookup(host, options.resolver, options.connect_timeout);
}

Task<Result<Connection>> dial(Worker& worker, const config::Server& server,
                              const DialOptions& options) {
  auto addresses = co_await resolve(worker, server.host, options);
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
