#include "outbound/socks.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>

#include "outbound/udp_socket.h"

namespace hairpin::outbound {

namespace {

/// Datagrams kept while an association is being opened.
constexpr std::size_t kMaxQueued = 64;

Result<> check_authentication(bool accepted) {
  if (accepted) return {};
  return Error{"SOCKS5: the proxy refused the user name or password", EACCES};
}

}  // namespace

Task<Result<>> Socks::introduce(Handshake& handshake, std::span<const std::byte> hello) {
  const bool with_password = !settings_.username.empty();
  if (auto sent = co_await handshake.send(hello); !sent) co_return sent.error();
  auto method = co_await handshake.receive(socks5::parse_method, socks5::kMaxMessage);
  if (!method) co_return method.error();
  if (method->value == socks5::Method::unacceptable) {
    co_return Error{with_password
                        ? "SOCKS5: the proxy takes neither no authentication nor passwords"
                        : "SOCKS5: the proxy wants authentication; give username and "
                          "password",
                    EACCES};
  }
  if (method->value != socks5::Method::password) co_return Result<>();
  if (!with_password) co_return Error{"SOCKS5: the proxy wants a password that was not offered"};
  const socks5::Bytes login = socks5::password_request(settings_.username, settings_.password);
  if (auto sent = co_await handshake.send(login); !sent) co_return sent.error();
  auto accepted = co_await handshake.receive(socks5::parse_password_reply, socks5::kMaxMessage);
  if (!accepted) co_return accepted.error();
  co_return check_authentication(accepted->value);
}

Task<Result<Socks::Negotiated>> Socks::negotiate(socks5::Command command, Target target) {
  auto connection = co_await dial(worker_, settings_.server, options_);
  if (!connection) co_return std::move(connection.error()).in("proxy").on_the_way();
  Handshake handshake(worker_, *connection, options_.connect_timeout);

  // Each step's message is held by a variable: the coroutine may be suspended while it is sent.
  const socks5::Bytes wish = socks5::request(command, target);
  socks5::Bytes hello = socks5::greeting(!settings_.username.empty());
  const bool pipelined = settings_.pipeline && settings_.username.empty();
  if (pipelined) hello.insert(hello.end(), wish.begin(), wish.end());
  if (auto done = co_await introduce(handshake, hello); !done) {
    co_return std::move(done.error()).on_the_way();
  }
  // From here on a failure may be the destination's: the proxy is there.
  if (!pipelined) {
    if (auto sent = co_await handshake.send(wish); !sent) co_return sent.error();
  }
  auto reply = co_await handshake.receive(socks5::parse_reply, socks5::kMaxMessage);
  if (!reply) co_return reply.error();
  if (reply->value.code != 0) {
    co_return Error{"SOCKS5: " + target.text() + ": " + socks5::reply_text(reply->value.code),
                    socks5::reply_errno(reply->value.code)};
  }
  connection->early = handshake.take_rest();
  co_return Negotiated{std::move(*connection), std::move(reply->value)};
}

Task<Result<Connection>> Socks::connect(Target to) {
  auto negotiated = co_await negotiate(socks5::Command::connect, std::move(to));
  if (!negotiated) co_return negotiated.error();
  co_return std::move(negotiated->connection);
}

Task<Result<Socks::Association>> Socks::associate() {
  // 0.0.0.0:0: we do not know yet which address our datagrams will have (RFC 1928, section 4).
  const Target any;
  auto negotiated = co_await negotiate(socks5::Command::udp_associate, any);
  if (!negotiated) co_return negotiated.error();
  const Endpoint bound = negotiated->reply.bound.endpoint;
  Association association{std::move(negotiated->connection),
                          {"", {bound.address.unmapped(), bound.port}}};
  if (!bound.address.is_unspecified() && negotiated->reply.bound.name.empty()) {
    co_return association;
  }
  // Servers that listen on all addresses say so; the one we reached them at is meant. A name,
  // which no server in use sends, is not looked up: what it says is up to the server alone.
  if (options_.detour) {
    association.relay = target_of(config::Server{settings_.server.host, bound.port});
    co_return association;
  }
  const auto proxy = platform::peer_endpoint(association.control.socket.native_handle());
  if (!proxy) co_return proxy.error();
  association.relay.endpoint.address = proxy->address;
  co_return association;
}

namespace {

bool starts_with(std::span<const std::byte> bytes, std::span<const std::byte> front) {
  return bytes.size() >= front.size() && std::ranges::equal(bytes.first(front.size()), front);
}

/// Datagrams are kept until the proxy has opened the association; then they go straight through:
/// by a socket of ours, or within another outbound.
class SocksPath final : public UdpPath {
 public:
  SocksPath(std::shared_ptr<Socks> outbound, UdpSink& sink)
      : state_(std::make_shared<State>(std::move(outbound), sink)) {
    asio::co_spawn(state_->outbound->worker().executor(), open(state_), asio::detached);
  }
  ~SocksPath() override {
    state_->closed = true;
    // What waited for an association that was not opened.
    state_->outbound->worker().counters.add(Count::udp_queue_full, state_->queue.size());
    state_->socket.reset();
    state_->detour.reset();
    state_->control.reset();
  }

  void send(const Target& to, const platform::Burst& burst) override {
    if (state_->is_open()) return state_->send(to, burst);
    for (std::size_t i = 0; i < burst.count; ++i) {
      Worker& worker = state_->outbound->worker();
      auto copy = state_->queue.size() < kMaxQueued ? HeldDatagram::copy(worker.held, burst[i])
                                                    : std::nullopt;
      if (!copy) return worker.counters.add(Count::udp_queue_full, burst.count - i);
      state_->queue.push_back({to, std::move(*copy)});
    }
  }

 private:
  struct Queued {
    Target to;
    HeldDatagram datagram;
  };
  struct State final : UdpSink {
    State(std::shared_ptr<Socks> through, UdpSink& to) : outbound(std::move(through)), sink(to) {}

    bool is_open() const { return socket || detour; }

    Result<> open() {
      Worker& worker = outbound->worker();
      const DialOptions& options = outbound->options();
      if (options.detour) {
        auto path = options.detour->open_udp(*this);
        if (!path) return std::move(path.error()).in("via " + options.detour->tag());
        detour = std::move(*path);
        return {};
      }
      const IpAddr& address = relay.endpoint.address;
      auto opened = UdpSocket::open(worker, address.family(),
                                    address.is_loopback() ? platform::Binding{options.mark, {}}
                                                          : options.binding(worker, address),
                                    [this](const platform::Received& datagrams) {
                                      deliver(datagrams.source, datagrams.burst);
                                    });
      if (!opened) return opened.error();
      if (auto connected = opened->connect(relay.endpoint); !connected) return connected;
      socket = std::move(*opened);
      return {};
    }

    void send(const Target& to, const platform::Burst& burst) {
      std::array<std::byte, socks5::kMaxUdpHeader> space;
      const auto header = std::span(space).first(socks5::write_udp_header(to, space));
      if (socket) return socket->send(header, burst, nullptr);
      // The other outbound has a header of its own to put in front.
      const std::size_t stride = header.size() + burst.size;
      wrapped.resize(burst.count * stride);
      for (std::size_t i = 0; i < burst.count; ++i) {
        const auto place = wrapped.begin() + static_cast<std::ptrdiff_t>(i * stride);
        std::ranges::copy(burst[i], std::ranges::copy(header, place).out);
      }
      detour->send(relay, {wrapped, 0, stride, stride, burst.count, header.size() + burst.last});
    }

    /// Something else than our proxy: came before the socket was connected, or to the outbound's.
    bool is_stranger(const Endpoint& from) const {
      return from.port != relay.endpoint.port ||
             (relay.has_address() && from.address != relay.endpoint.address);
    }

    void deliver(const Endpoint& from, const platform::Burst& burst) override {
      if (is_stranger(from)) return;
      for (std::size_t i = 0; i < burst.count && !closed;) {
        const auto parsed = socks5::parse_udp_header(burst[i]);
        if (!parsed || !parsed->value.name.empty()) {
          outbound->worker().counters.add(Count::udp_malformed);
          ++i;
          continue;
        }
        // Datagrams of one remote have one header, byte by byte: they stay a burst.
        const auto header = burst[i].first(parsed->size);
        std::size_t n = 1;
        while (i + n < burst.count && starts_with(burst[i + n], header)) ++n;
        const Endpoint remote{parsed->value.endpoint.address.unmapped(),
                              parsed->value.endpoint.port};
        sink.deliver(remote, burst.part(i, n).without_front(parsed->size));
        i += n;
      }
    }

    void failed(const Error& error) override {
      if (!closed) sink.failed(Error(error).in("via " + outbound->options().detour->tag()));
    }

    std::shared_ptr<Socks> outbound;
    UdpSink& sink;
    bool closed = false;
    std::optional<Connection> control;
    Target relay;
    std::optional<UdpSocket> socket;  ///< Ours to the proxy, or
    std::unique_ptr<UdpPath> detour;  ///< another outbound's.
    std::vector<std::byte> wrapped;   ///< For what goes there, with our headers.
    std::deque<Queued> queue;
  };

  static Task<> open(std::shared_ptr<State> state) {
    auto association = co_await state->outbound->associate();
    if (state->closed) co_return;
    if (!association) co_return state->sink.failed(association.error());
    state->relay = association->relay;
    if (auto opened = state->open(); !opened) co_return state->sink.failed(opened.error());
    state->control = std::move(association->control);
    for (Queued& queued : std::exchange(state->queue, {})) {
      HeldDatagram& datagram = queued.datagram;
      state->send(queued.to, platform::Burst::single(datagram.bytes(), 0, datagram.size()));
    }
    // The association lives as long as its TCP connection (RFC 1928, section 7). Nothing is ever
    // received on it: becoming readable is its end.
    (void)co_await state->control->socket.async_wait(Wait::wait_read, kAsTuple);
    if (!state->closed) {
      state->sink.failed(Error{"the proxy closed the UDP association"}.on_the_way());
    }
  }

  std::shared_ptr<State> state_;
};

}  // namespace

Result<std::unique_ptr<UdpPath>> Socks::open_udp(UdpSink& sink) {
  return std::unique_ptr<UdpPath>(
      std::make_unique<SocksPath>(std::static_pointer_cast<Socks>(shared_from_this()), sink));
}

}  // namespace hairpin::outbound
