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
  using Handler = std::function<void(const platform::Received&)>;

  static Result<UdpSocket> open(Worker& worker, Family family, const platform::Binding& binding,
                                Handler handler);

  /// Only this remote can be received from, from now on, and is sent to when no other is named.
  Result<> connect(const Endpoint& to);

  /// Sends each datagram behind a copy of `header`. What the kernel would not take is counted.
  void send(std::span<const std::byte> header, const platform::Burst& burst, const Endpoint* to);

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
