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

Task<Result<Socks::Negotiated>> Socks::negotiate(socks5::Command command, Target target) {
  auto connection = co_await dial(worker_, settings_.server, options_);
  if (!connection) co_return std::move(connection.error()).in("proxy");
  Handshake handshake(worker_, connection->socket, options_.connect_timeout);
  const bool with_password = !settings_.username.empty();

  // Each step's message is held by a variable: the coroutine may be suspended while it is sent.
  const socks5::Bytes wish = socks5::request(command, target);
  socks5::Bytes hello = socks5::greeting(with_password);
  const bool pipelined = settings_.pipeline && !with_password;
  if (pipelined) hello.insert(hello.end(), wish.begin(), wish.end());
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
  if (method->value == socks5::Method::password) {
    if (!with_password) co_return Error{"SOCKS5: the proxy wants a password that was not offered"};
    const socks5::Bytes login = socks5::password_request(settings_.username, settings_.password);
    if (auto sent = co_await handshake.send(login); !sent) co_return sent.error();
    auto accepted = co_await handshake.receive(socks5::parse_password_reply, socks5::kMaxMessage);
    if (!accepted) co_return accepted.error();
    if (auto ok = check_authentication(accepted->value); !ok) co_return ok.error();
  }

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
  Association association{std::move(negotiated->connection), negotiated->reply.bound.endpoint};
  association.relay.address = association.relay.address.unmapped();
  if (association.relay.address.is_unspecified() || !negotiated->reply.bound.name.empty()) {
    // Servers that listen on all addresses say so; the one we reached them at is meant. A name,
    // which no server in use sends, is not looked up: what it says is up to the server alone.
    const auto proxy = platform::peer_endpoint(association.control.socket.native_handle());
    if (!proxy) co_return proxy.error();
    association.relay.address = proxy->address;
  }
  co_return association;
}

namespace {

bool starts_with(std::span<const std::byte> bytes, std::span<const std::byte> front) {
  return bytes.size() >= front.size() && std::ranges::equal(bytes.first(front.size()), front);
}

/// Datagrams are kept until the proxy has opened the association; then they go straight through.
class SocksPath final : public UdpPath {
 public:
  SocksPath(std::shared_ptr<Socks> outbound, UdpSink& sink)
      : state_(std::make_shared<State>(std::move(outbound), sink)) {
    asio::co_spawn(state_->outbound->worker().executor(), open(state_), asio::detached);
  }
  ~SocksPath() override {
    state_->closed = true;
    state_->socket.reset();
    state_->control.reset();
  }

  void send(const Target& to, const platform::Burst& burst) override {
    if (state_->socket) return state_->send(to, burst);
    for (std::size_t i = 0; i < burst.count; ++i) {
      if (state_->queue.size() >= kMaxQueued) {
        state_->outbound->worker().counters.add(Count::udp_queue_full, burst.count - i);
        return;
      }
      const auto payload = burst[i];
      state_->queue.push_back({to, {payload.begin(), payload.end()}});
    }
  }

 private:
  struct Queued {
    Target to;
    std::vector<std::byte> payload;
  };
  struct State {
    State(std::shared_ptr<Socks> through, UdpSink& to) : outbound(std::move(through)), sink(to) {}

    void send(const Target& to, const platform::Burst& burst) {
      std::array<std::byte, socks5::kMaxUdpHeader> header;
      const std::size_t size = socks5::write_udp_header(to, header);
      socket->send(std::span(header).first(size), burst, nullptr);
    }
    void receive(const platform::Received& datagrams) {
      if (datagrams.source != relay) return;  // came before the socket was connected
      const platform::Burst& burst = datagrams.burst;
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
        const Endpoint from{parsed->value.endpoint.address.unmapped(), parsed->value.endpoint.port};
        sink.deliver(from, burst.part(i, n).without_front(parsed->size));
        i += n;
      }
    }

    std::shared_ptr<Socks> outbound;
    UdpSink& sink;
    bool closed = false;
    std::optional<Connection> control;
    Endpoint relay;
    std::optional<UdpSocket> socket;
    std::deque<Queued> queue;
  };

  static Task<> open(std::shared_ptr<State> state) {
    auto association = co_await state->outbound->associate();
    if (state->closed) co_return;
    if (!association) co_return state->sink.failed(association.error());
    state->relay = association->relay;
    auto socket = UdpSocket::open(
        state->outbound->worker(), state->relay.address.family(),
        state->relay.address.is_loopback()
            ? platform::Binding{state->outbound->options().mark, {}}
            : state->outbound->options().binding(state->outbound->worker(), state->relay.address),
        [raw = state.get()](const platform::Received& datagrams) { raw->receive(datagrams); });
    if (!socket) co_return state->sink.failed(socket.error());
    if (auto connected = socket->connect(state->relay); !connected) {
      co_return state->sink.failed(connected.error());
    }
    state->socket = std::move(*socket);
    state->control = std::move(association->control);
    for (Queued& queued : std::exchange(state->queue, {})) {
      state->send(queued.to, platform::Burst::single(queued.payload, 0, queued.payload.size()));
    }
    // The association lives as long as its TCP connection (RFC 1928, section 7). Nothing is ever
    // received on it: becoming readable is its end.
    (void)co_await state->control->socket.async_wait(Wait::wait_read, kAsTuple);
    if (!state->closed) state->sink.failed(Error{"the proxy closed the UDP association"});
  }

  std::shared_ptr<State> state_;
};

}  // namespace

Result<std::unique_ptr<UdpPath>> Socks::open_udp(UdpSink& sink) {
  return std::unique_ptr<UdpPath>(
      std::make_unique<SocksPath>(std::static_pointer_cast<Socks>(shared_from_this()), sink));
}

}  // namespace hairpin::outbound
