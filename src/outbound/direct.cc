#include "outbound/direct.h"

#include <array>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "outbound/udp_socket.h"

namespace hairpin::outbound {

namespace {

/// Datagrams that wait for the address of one name.
constexpr std::size_t kMaxQueuedForName = 64;
constexpr std::size_t kMaxNames = 256;
constexpr auto kKeepNames = std::chrono::seconds(60);

/// One unconnected socket per family, opened when a destination of that family is first used; where
/// the uplink is followed, one more for destinations that are left to routing. A socket that is
/// bound to another uplink than there is now is replaced. Names are resolved here.
class DirectPath final : public UdpPath {
 public:
  DirectPath(Worker& worker, DialOptions options, UdpSink& sink)
      : state_(std::make_shared<State>(worker, std::move(options), sink)) {}
  ~DirectPath() override {
    state_->closed = true;
    for (auto& bound : state_->sockets) bound.socket.reset();
    for (const auto& [host, name] : state_->names) {
      state_->worker.counters.add(Count::udp_queue_full, name.queue.size());
    }
  }

  void send(const Target& target, const platform::Burst& burst) override {
    if (target.has_address()) return state_->send(target.endpoint, burst);
    state_->forget_old();
    State::Name& name = state_->names[target.name];
    if (name.address) return state_->send({*name.address, target.endpoint.port}, burst);
    for (std::size_t i = 0; i < burst.count; ++i) {
      auto copy = name.queue.size() < kMaxQueuedForName
                      ? HeldDatagram::copy(state_->worker.held, burst[i])
                      : std::nullopt;
      if (!copy) {
        state_->worker.counters.add(Count::udp_queue_full, burst.count - i);
        break;
      }
      name.queue.emplace_back(target, std::move(*copy));
    }
    if (!std::exchange(name.asking, true)) {
      asio::co_spawn(state_->worker.executor(), look_up(state_, target.name), asio::detached);
    }
  }

 private:
  struct State {
    State(Worker& of, DialOptions with, UdpSink& to)
        : worker(of), options(std::move(with)), sink(to) {}

    void send(const Endpoint& to, const platform::Burst& burst) {
      const platform::Binding binding = options.binding(worker, to.address);
      auto& [socket, interface] =
          sockets[(to.address.is_v4() ? 0U : 1U) + (binding.interface.empty() ? 0U : 2U)];
      if (!socket || interface != binding.interface) {
        auto opened = UdpSocket::open(worker, to.address.family(), binding,
                                      [this](const platform::Received& datagrams) {
                                        sink.deliver(datagrams.source, datagrams.burst);
                                      });
        if (!opened) return sink.failed(opened.error());
        socket = std::move(*opened);
        interface = binding.interface;
      }
      socket->send({}, burst, &to);
    }

    /// Names move, and an association may live for days.
    void forget_old() {
      if (Clock::now() < forget_at && names.size() < kMaxNames) return;
      forget_at = Clock::now() + kKeepNames;
      std::erase_if(names, [](const auto& name) { return !name.second.asking; });
    }

    struct Bound {
      std::optional<UdpSocket> socket;
      std::string interface;
    };
    struct Name {
      std::optional<IpAddr> address;
      bool asking = false;
      std::vector<std::pair<Target, HeldDatagram>> queue;
    };
    Worker& worker;
    DialOptions options;
    UdpSink& sink;
    bool closed = false;
    std::array<Bound, 4> sockets;
    std::unordered_map<std::string, Name> names;
    Clock::time_point forget_at = Clock::now() + kKeepNames;
  };

  static Task<> look_up(std::shared_ptr<State> state, std::string host) {
    const auto addresses = co_await resolve(state->worker, host, state->options);
    if (state->closed) co_return;
    State::Name& name = state->names[host];
    name.asking = false;
    auto queue = std::exchange(name.queue, {});
    if (!addresses) {
      state->worker.counters.add(Count::udp_dial_failed, queue.size());
      co_return;
    }
    name.address = addresses->front();
    for (auto& [target, datagram] : queue) {
      const Endpoint to{*name.address, target.endpoint.port};
      state->sink.reached(target, to);
      state->send(to, platform::Burst::single(datagram.bytes(), 0, datagram.size()));
    }
  }

  std::shared_ptr<State> state_;
};

}  // namespace

Task<Result<Connection>> Direct::connect(Target to) {
  if (to.has_address()) co_return co_await dial(worker_, to.endpoint, options_);
  // Held by a variable: GCC 12 destroys an aggregate that is made within co_await twice.
  const config::Server server{to.name, to.endpoint.port};
  co_return co_await dial(worker_, server, options_);
}

Result<std::unique_ptr<UdpPath>> Direct::open_udp(UdpSink& sink) {
  return std::unique_ptr<UdpPath>(std::make_unique<DirectPath>(worker_, options_, sink));
}

}  // namespace hairpin::outbound
