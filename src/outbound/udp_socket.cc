#include "outbound/udp_socket.h"

namespace hairpin::outbound {

struct UdpSocket::State {
  Worker& worker;
  Descriptor socket;
  Handler handler;
  LoopGuard::Entry guard;
  bool closed = false;
};

UdpSocket::Closer::~Closer() {
  if (!state) return;
  state->closed = true;
  boost::system::error_code ignored;
  state->socket.close(ignored);
}

Result<UdpSocket> UdpSocket::open(Worker& worker, Family family, const platform::Binding& binding,
                                  Handler handler) {
  auto fd = platform::open_udp(family, binding);
  if (!fd) return fd.error();
  const auto port = platform::local_port(fd->get());
  if (!port) return port.error();
  auto state = std::shared_ptr<State>(
      new State{worker, Descriptor(worker.executor(), fd->release()), std::move(handler),
                worker.loop_guard.remember_udp(family, *port)});
  wait(state);
  return UdpSocket(std::move(state));
}

void UdpSocket::wait(const std::shared_ptr<State>& state) {
  state->socket.async_wait(Wait::wait_read, [state](const boost::system::error_code& ec) {
    if (ec || state->closed) return;
    receive(*state);
    if (!state->closed) wait(state);
  });
}

void UdpSocket::receive(State& state) {
  // Waiting again after one batch, even a full one, lets the other sockets of the worker have a
  // turn.
  auto& batch = state.worker.datagrams;
  const auto received = batch.receive(state.socket.native_handle());
  if (!received) return;  // EAGAIN, or an error about one earlier datagram: the socket lives on
  for (std::size_t i = 0; i < received->size() && !state.closed; ++i) {
    state.handler((*received)[i], batch.buffer(i));
  }
}

Result<> UdpSocket::send(std::span<const std::byte> header, std::span<const std::byte> payload,
                         const Endpoint& to) {
  return platform::send_datagram(state_.state->socket.native_handle(), header, payload, to);
}

}  // namespace hairpin::outbound
