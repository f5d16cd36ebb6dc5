#include "outbound/udp_socket.h"

namespace hairpin::outbound {

struct UdpSocket::State {
  Worker& worker;
  Descriptor socket;
  Handler handler;
  LoopGuard::Entry guard;
  platform::SegmentLimit limit = {};
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
  auto socket = worker.watch(std::move(*fd));
  if (!socket) return socket.error();
  auto state = std::shared_ptr<State>(new State{worker, std::move(*socket), std::move(handler),
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
  for (const platform::Received& datagrams : *received) {
    if (state.closed) return;
    state.handler(datagrams);
  }
}

Result<> UdpSocket::connect(const Endpoint& to) {
  return platform::connect_udp(state_.state->socket.native_handle(), to);
}

void UdpSocket::send(std::span<const std::byte> header, const platform::Burst& burst,
                     const Endpoint* to) {
  State& state = *state_.state;
  const auto sent =
      platform::send_burst(state.socket.native_handle(), header, burst, to, state.limit);
  const std::size_t lost = burst.count - (sent ? *sent : 0);
  if (lost != 0) state.worker.counters.add(Count::udp_send_failed, lost);
}

}  // namespace hairpin::outbound
