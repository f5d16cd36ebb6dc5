#include "outbound/dialer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "outbound/outbound.h"
#include "platform/stream.h"

namespace hairpin::outbound {

DetachedConnection detach(Connection connection) {
  return {Fd(connection.socket.release()), std::move(connection.guard), std::move(connection.early),
          std::move(connection.resets)};  // attachments belong to their worker: there are none
}

Result<Connection> attach(Worker& worker, DetachedConnection detached) {
  auto socket = worker.watch(std::move(detached.socket));
  if (!socket) return socket.error();
  return Connection{std::move(*socket), std::move(detached.guard), std::move(detached.early),
                    std::move(detached.resets)};
}

platform::Binding DialOptions::binding(const Worker& worker, const IpAddr& to) const {
  const bool follows = follow_uplink && interface.empty() && !to.is_private();
  platform::Binding binding{mark, follows ? worker.uplink : interface};
  if (!to.is_loopback()) binding.source = to.is_v4() ? source4 : source6;
  binding.reuse_address = reuse_address;
  binding.fast_open = fast_open;
  binding.protect = &worker.protect;
  return binding;
}

namespace {

/// A connection that is being made: it is there, or has failed, when its socket is writable.
Result<Connection> begin(Worker& worker, const Endpoint& to, const DialOptions& options) {
  auto fd =
      platform::start_connect_tcp(to, options.binding(worker, to.address), options.congestion);
  if (!fd) return fd.error();
  LoopGuard::Entry guard;
  if (const auto local = platform::local_endpoint(fd->get())) {
    guard = worker.loop_guard.remember_tcp(*local, to);
  }
  auto socket = worker.watch(std::move(*fd));
  if (!socket) return std::move(socket.error()).in("connect " + to.text());
  return Connection{std::move(*socket), std::move(guard), {}};
}

Result<> settle(Connection& connection, const Endpoint& to, const DialOptions& options) {
  const int socket = connection.socket.native_handle();
  if (auto outcome = platform::connect_outcome(socket, to); !outcome) return outcome;
  options.congestion.settle(socket);
  return {};
}

/// Attempts that run side by side. Held by those who wait for one of them.
class Race {
 public:
  Race(Worker& worker, std::vector<IpAddr> addresses, std::uint16_t port,
       const DialOptions& options)
      : news_(worker.executor()),
        worker_(worker),
        addresses_(std::move(addresses)),
        port_(port),
        options_(options) {}

  Timer& news() { return news_; }

  /// Begins what is due. False: all have failed.
  bool advance(const std::shared_ptr<Race>& self) {
    while (begun_ < addresses_.size() && (running_.empty() || Clock::now() >= next_)) {
      begin_next(self);
    }
    if (running_.empty()) return false;
    // When something is to be done even if nothing happens.
    auto due = begun_ < addresses_.size() ? next_ : Clock::time_point::max();
    for (const auto& attempt : running_) due = std::min(due, attempt->until);
    news_.expires_at(due);
    return true;
  }

  /// The first that is there; the others are closed.
  std::optional<Connection> winner() {
    for (auto it = running_.begin(); it != running_.end();) {
      Attempt& attempt = **it;
      if (!attempt.ready && Clock::now() < attempt.until) {
        ++it;
        continue;
      }
      auto outcome = attempt.ready ? settle(attempt.connection, attempt.to, options_)
                                   : Error{"connect " + attempt.to.text(), ETIMEDOUT};
      if (outcome) {
        Connection won = std::move(attempt.connection);
        running_.clear();
        return won;
      }
      last_ = outcome.error();
      it = running_.erase(it);
      next_ = Clock::now();  // the next address need not wait
    }
    return std::nullopt;
  }

  const Error& last() const { return last_; }

 private:
  struct Attempt {
    Attempt(const Endpoint& address, Connection begun, Clock::time_point deadline)
        : to(address), connection(std::move(begun)), until(deadline) {}
    Endpoint to;
    Connection connection;
    Clock::time_point until;
    bool ready = false;
  };

  void begin_next(const std::shared_ptr<Race>& self) {
    const Endpoint to{addresses_[begun_++], port_};
    auto connection = begin(worker_, to, options_);
    if (!connection) {
      last_ = connection.error();
      return;
    }
    const auto now = Clock::now();
    next_ = now + options_.fallback_delay;
    auto attempt =
        std::make_shared<Attempt>(to, std::move(*connection), now + options_.connect_timeout);
    // The handler may be on its way when the attempt is given up.
    attempt->connection.socket.async_wait(
        Wait::wait_write,
        [self, weak = std::weak_ptr(attempt)](const boost::system::error_code& ec) {
          const auto alive = weak.lock();
          if (ec || !alive) return;
          alive->ready = true;
          self->news_.cancel();
        });
    running_.push_back(std::move(attempt));
  }

  Timer news_;
  Worker& worker_;
  std::vector<IpAddr> addresses_;
  std::uint16_t port_;
  const DialOptions& options_;  ///< Used while somebody waits.
  std::size_t begun_ = 0;
  Clock::time_point next_;  ///< When the next address has its turn.
  std::vector<std::shared_ptr<Attempt>> running_;
  Error last_;
};

Task<Result<Connection>> run_race(std::shared_ptr<Race> race) {
  while (race->advance(race)) {
    co_await race->news().async_wait(kAsTuple);
    if (auto won = race->winner()) co_return std::move(*won);
  }
  co_return race->last();
}

}  // namespace

std::vector<IpAddr> by_turns(const std::vector<IpAddr>& addresses) {
  std::array<std::vector<IpAddr>, 2> families;
  for (const IpAddr& address : addresses) {
    families[address.is_v4() == addresses.front().is_v4() ? 0 : 1].push_back(address);
  }
  std::vector<IpAddr> mixed;
  for (std::size_t i = 0; mixed.size() < addresses.size(); ++i) {
    for (const auto& family : families) {
      if (i < family.size()) mixed.push_back(family[i]);
    }
  }
  return mixed;
}

Task<Result<Connection>> dial(Worker& worker, const Endpoint& to, const DialOptions& options) {
  auto connection = begin(worker, to, options);
  if (!connection) co_return connection.error();
  const Deadline deadline(worker.watchdog, connection->socket, options.connect_timeout);
  auto [ec] = co_await connection->socket.async_wait(Wait::wait_write, kAsTuple);
  if (deadline.expired()) co_return Error{"connect " + to.text(), ETIMEDOUT};
  if (ec) co_return Error{"connect " + to.text(), ECANCELED};
  if (auto settled = settle(*connection, to, options); !settled) co_return settled.error();
  co_return std::move(*connection);
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

namespace {

Task<Result<Connection>> dial_by_detour(config::Server server, Outbound& detour) {
  if (!detour.carries(config::Network::tcp)) {
    co_return Error{"detour " + detour.tag() + " carries no TCP", EOPNOTSUPP};
  }
  Target target = target_of(server);
  auto connection = co_await detour.connect(std::move(target));
  if (!connection) co_return std::move(connection.error()).in("via " + detour.tag());
  co_return std::move(*connection);
}

}  // namespace

Task<Result<Connection>> dial(Worker& worker, const config::Server& server,
                              const DialOptions& options) {
  if (options.detour) co_return co_await dial_by_detour(server, *options.detour);
  auto addresses = co_await resolve(worker, server.host, options);
  if (!addresses) co_return addresses.error();
  if (addresses->size() == 1) {
    co_return co_await dial(worker, Endpoint{addresses->front(), server.port}, options);
  }
  co_return co_await run_race(
      std::make_shared<Race>(worker, by_turns(*addresses), server.port, options));
}

Task<Result<>> Handshake::send(std::span<const std::byte> message) {
  while (!message.empty()) {
    auto sent = platform::send(socket_.native_handle(), message);
    if (sent) {
      message = message.subspan(*sent);
      continue;
    }
    // EINPROGRESS: the SYN of a fast open that could not carry the message.
    if (!platform::would_block(sent.error()) && sent.error().code != EINPROGRESS) {
      co_return Error("send to the proxy", sent.error().code);
    }
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
    const auto got = platform::receive(socket_.native_handle(), buffer);
    if (!got && platform::would_block(got.error())) continue;
    if (!got) co_return Error("receive from the proxy", got.error().code);
    if (*got == 0) co_return Error{"the proxy closed the connection in the handshake"};
    received_.insert(received_.end(), buffer.begin(),
                     buffer.begin() + static_cast<std::ptrdiff_t>(*got));
    co_return Result<>();
  }
}

}  // namespace hairpin::outbound
