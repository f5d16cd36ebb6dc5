#include "outbound/dialer.h"

#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>

namespace hairpin::outbound {

Task<Result<std::vector<Endpoint>>> resolve(Worker& worker, const config::Server& server) {
  if (const auto address = IpAddr::parse(server.host)) {
    co_return std::vector<Endpoint>{{*address, server.port}};
  }
  using Tcp = asio::ip::tcp;
  asio::ip::basic_resolver<Tcp, Executor> resolver(worker.executor());
  auto [ec, found] = co_await resolver.async_resolve(server.host, "", kAsTuple);
  if (ec) co_return Error{"resolve " + server.host + ": " + ec.message()};
  std::vector<Endpoint> endpoints;
  for (const auto& entry : found) {
    sockaddr_storage address{};
    std::memcpy(&address, entry.endpoint().data(), entry.endpoint().size());
    endpoints.push_back({Endpoint::from_sockaddr(address).address, server.port});
  }
  if (endpoints.empty()) co_return Error{"resolve " + server.host + ": no address"};
  co_return endpoints;
}

Task<Result<Connection>> dial(Worker& worker, const Endpoint& to, const DialOptions& options) {
  auto fd = platform::start_connect_tcp(to, options.binding);
  if (!fd) co_return fd.error();
  LoopGuard::Entry guard;
  if (const auto local = platform::local_endpoint(fd->get())) {
    guard = worker.loop_guard.remember_tcp(*local, to);
  }
  Connection connection{Descriptor(worker.executor(), fd->release()), std::move(guard), {}};
  const Deadline deadline(worker.watchdog, connection.socket, options.connect_timeout);
  auto [ec] = co_await connection.socket.async_wait(Wait::wait_write, kAsTuple);
  if (deadline.expired()) co_return Error{"connect " + to.text(), ETIMEDOUT};
  if (ec) co_return Error{"connect " + to.text(), ECANCELED};
  auto outcome = platform::connect_outcome(connection.socket.native_handle(), to);
  if (!outcome) co_return outcome.error();
  co_return connection;
}

Task<Result<Connection>> dial(Worker& worker, const config::Server& server,
                              const DialOptions& options) {
  auto endpoints = co_await resolve(worker, server);
  if (!endpoints) co_return endpoints.error();
  Error last;
  for (const Endpoint& endpoint : *endpoints) {
    auto connection = co_await dial(worker, endpoint, options);
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
    const ssize_t got = ::recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      received_.insert(received_.end(), buffer.begin(), buffer.begin() + got);
      co_return Result<>();
    }
    if (got == 0) co_return Error{"the proxy closed the connection in the handshake"};
    if (errno != EAGAIN) co_return last_error("receive from the proxy");
    auto [ec] = co_await socket_.async_wait(Wait::wait_read, kAsTuple);
    if (deadline_.expired()) co_return Error{"handshake with the proxy", ETIMEDOUT};
    if (ec) co_return Error{"handshake with the proxy", ECANCELED};
  }
}

}  // namespace hairpin::outbound
