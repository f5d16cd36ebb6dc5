#include "dispatch/tcp_listener.h"

#include <array>

#include "base/log.h"
#include "nat/opening.h"
#include "platform/saved_syn.h"

namespace hairpin::dispatch {

namespace {

/// Connections accepted before the other flows of the worker have a turn.
constexpr int kAcceptBatch = 64;
/// Bytes: IP and TCP headers.
constexpr std::size_t kSavedSyn = 256;
/// Before the next attempt, when there is nothing to accept with.
constexpr auto kPause = std::chrono::milliseconds(100);

bool out_of_descriptors(int code) {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

}  // namespace

TcpListener::TcpListener(Admission& admission, Fd listener, Arrival arrival)
    : worker_(admission.worker()),
      admission_(admission),
      listener_(worker_.executor(), listener.release()),
      pause_(worker_.executor()),
      arrival_(arrival),
      reserve_(platform::open_spare()) {}

void TcpListener::start() {
  wait();
}

void TcpListener::stop() {
  boost::system::error_code ignored;
  listener_.close(ignored);
  pause_.cancel();
}

void TcpListener::wait() {
  listener_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
    if (ec) return;
    if (accept_all()) return wait();
    wait_a_moment();
  });
}

void TcpListener::wait_a_moment() {
  // Connections wait, and there is no descriptor even to refuse them with (another thread was
  // faster): the listener would be readable again at once.
  pause_.expires_after(kPause);
  pause_.async_wait([this](const boost::system::error_code& ec) {
    if (ec) return;
    if (!reserve_) reserve_ = platform::open_spare();
    wait();
  });
}

bool TcpListener::accept_all() {
  for (int i = 0; i < kAcceptBatch; ++i) {
    auto client = platform::accept_tcp(listener_.native_handle());
    if (client) {
      admit(std::move(*client));
    } else if (out_of_descriptors(client.error().code)) {
      const Refused refused = refuse_one();
      if (refused != Refused::one) return refused == Refused::none;
    } else if (client.error().code != ECONNABORTED) {
      return true;  // EAGAIN; anything else concerned one connection that is gone
    }
  }
  return true;
}

TcpListener::Refused TcpListener::refuse_one() {
  // A connection that nobody accepts would hang until the client loses patience. With the reserve
  // given up there is one descriptor to accept it with, only to reset it. accept(2) complains about
  // descriptors before it looks for connections: there may be none.
  reserve_.reset();
  Refused refused = Refused::one;
  if (auto client = platform::accept_tcp(listener_.native_handle())) {
    worker_.counters.add(Count::tcp_no_descriptor);
    platform::reset_on_close(client->socket.get());
  } else {
    refused = out_of_descriptors(client.error().code) ? Refused::stuck : Refused::none;
  }
  reserve_ = platform::open_spare();
  return refused;
}

std::optional<Flow> TcpListener::flow_of(const platform::Accepted& accepted) {
  const int socket = accepted.socket.get();
  const auto local = platform::local_endpoint(socket);
  if (!local) return std::nullopt;  // reset before it was accepted
  if (arrival_ == Arrival::transparent) {
    return admission_.capture().flow(Network::tcp, *local, accepted.peer);
  }
  const auto destination = platform::original_destination(socket);
  if (destination && *destination != *local) {
    return Flow{Network::tcp, accepted.peer, *destination, admission_.capture().inbound};
  }
  // Serving it would be a connection to the same listener, and so on.
  worker_.counters.add(Count::tcp_looped);
  log::error(
      "{} has connected to our own listener {}, which is for redirected connections only. "
      "Refused",
      accepted.peer.text(), local->text());
  platform::reset_on_close(socket);
  return std::nullopt;
}

std::optional<Prepared> TcpListener::take_prepared(const Flow& flow, int socket) {
  const FlowKey key(flow);
  PreparedConnections& all = admission_.prepared();
  auto prepared = all.take(key);
  if (prepared || arrival_ == Arrival::transparent) return prepared;
  // All that is redirected ends at one listener: a client that uses one port for two destinations
  // has got another one from NAT. The number of its SYN is what it was.
  std::array<std::byte, kSavedSyn> memory;
  nat::Packet syn;
  const auto saved = platform::take_saved_syn(socket, memory);
  if (nat::Packet::parse(saved, syn) != nat::Malformed::none || !nat::may_open(syn)) return {};
  return all.take(key, nat::header_at<const nat::TcpHeader>(syn.transport()).sequence);
}

void TcpListener::admit(platform::Accepted accepted) {
  const auto flow = flow_of(accepted);
  if (!flow) return;
  std::optional<Prepared> prepared;
  if (admission_.prepared().size() != 0) prepared = take_prepared(*flow, accepted.socket.get());
  admission_.admit({std::move(accepted.socket)}, *flow, std::move(prepared));
}

}  // namespace hairpin::dispatch
