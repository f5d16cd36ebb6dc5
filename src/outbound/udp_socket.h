// A UDP socket of ours that is read as long as it lives.
#pragma once

#include <functional>
#include <memory>

#include "base/asio.h"
#include "flow/worker.h"
#include "platform/sockets.h"

namespace hairpin::outbound {

class UdpSocket {
 public:
  /// A received datagram and the memory it is in.
  using Handler = std::function<void(const platform::Datagram&, std::span<std::byte> buffer)>;

  static Result<UdpSocket> open(Worker& worker, Family family, const platform::Binding& binding,
                                Handler handler);

  Result<> send(std::span<const std::byte> header, std::span<const std::byte> payload,
                const Endpoint& to);

 private:
  struct State;
  explicit UdpSocket(std::shared_ptr<State> state) : state_(std::move(state)) {}
  static void wait(const std::shared_ptr<State>& state);
  static void receive(State& state);

  /// Closes the socket; the pending wait keeps only the memory.
  struct Closer {
    explicit Closer(std::shared_ptr<State> held) : state(std::move(held)) {}
    Closer(Closer&&) = default;
    Closer& operator=(Closer&&) = default;
    ~Closer();
    std::shared_ptr<State> state;
  };
  Closer state_;
};

}  // namespace hairpin::outbound
