#include "dispatch/tcp_listener.h"

#include <fcntl.h>

#include <algorithm>

#include "base/log.h"

namespace hairpin::dispatch {

namespace {

/// Connections accepted before the other flows of the worker have a turn.
constexpr int kAcceptBatch = 64;

Fd open_reserve() {
  return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool out_of_descriptors(int code) {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

}  // namespace

TcpListener::TcpListener(Worker& worker, Dispatcher& dispatcher, const Capture& capture,
                         Fd listener, Clock::duration idle)
    : worker_(worker),
      dispatcher_(dispatcher),
      capture_(capture),
      listener_(worker.executor(), listener.release()),
      idle_(idle),
      reserve_(open_reserve()) {}

void TcpListener::start() {
  wait();
}

void TcpListener::stop() {
  boost::system::error_code ignored;
  listener_.close(ignored);
}

void TcpListener::wait() {
  listener_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
    if (ec) return;
    accept_all();
    wait();
  });
}

void TcpListener::accept_all() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    auto client = platform::accept_tcp(listener_.native_handle());
    if (client) {
      admit(std::move(*client));
    } else if (out_of_descriptors(client.error().code)) {
      if (!refuse_one()) return;
    } else if (client.error().code != ECONNABORTED) {
      return;  // EAGAIN; anything else concerned one connection that is gone
    }
  }
}

bool TcpListener::refuse_one() {
  // A connection that nobody accepts would hang until the client loses patience. With the reserve
  // given up there is one descriptor to accept it with, only to reset it. accept(2) complains about
  // descriptors before it looks for connections: there may be none.
  reserve_.reset();
  bool refused = false;
  if (auto client = platform::accept_tcp(listener_.native_handle())) {
    worker_.counters.add(Count::tcp_no_descriptor);
    platform::reset_on_close(client->get());
    refused = true;
  }
  reserve_ = open_reserve();
  return refused;
}

void TcpListener::admit(Fd client) {
  // The translator keeps ports and exchanges addresses: our own name is the client's, with the
  // destination's port, and the peer's is the other way round.
  const auto local = platform::local_endpoint(client.get());
  const auto peer = platform::peer_endpoint(client.get());
  if (!local || !peer) return;  // reset before it was accepted
  const Flow flow{Network::tcp,
                  {capture_.translator.client_address(local->address), peer->port},
                  {peer->address, local->port},
                  capture_.inbound};
  if (worker_.loop_guard.is_own_tcp(flow)) {
    worker_.counters.add(Count::tcp_looped);
    log::error(
        "{} is a connection of our own: it is routed back into the interface; "
        "exclude mark or destination from that route. Refused",
        flow.text());
    return platform::reset_on_close(client.get());
  }
  platform::set_no_delay(client.get());
  asio::co_spawn(worker_.executor(), dispatcher_.serve_tcp(std::move(client), flow, idle_),
                 asio::detached);
}

}  // namespace hairpin::dispatch
