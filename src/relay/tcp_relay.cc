#include "relay/tcp_relay.h"

#include "platform/stream.h"

namespace hairpin::relay {

namespace {

/// Bytes. Below, copying is cheaper than two more system calls and a pipe.
constexpr std::uint64_t kSpliceAfter = 64 * 1024;
/// Rounds before the other flows of the worker have a turn.
constexpr int kRounds = 8;

}  // namespace

void TcpRelay::start(Worker& worker, Stream client, outbound::Connection server,
                     Clock::duration idle, Done done) {
  const boost::intrusive_ptr<TcpRelay> relay(
      new TcpRelay(worker, std::move(client), std::move(server), idle, std::move(done)));
  worker.watchdog.watch(*relay);
  // The client has had the time of the dial to send; the server has just been reached.
  if (relay->down_.rest.empty()) {
    relay->wait(relay->down_, Wait::wait_read);
  } else {
    relay->run(relay->down_);
  }
  if (!relay->finished_) relay->run(relay->up_);
}

TcpRelay::TcpRelay(Worker& worker, Stream client, outbound::Connection server, Clock::duration idle,
                   Done done)
    : worker_(worker),
      client_(std::move(client)),
      server_(std::move(server)),
      idle_(idle),
      done_(std::move(done)) {
  down_.rest = std::move(server_.early);
  // The urgent byte, if one ever comes, is passed on as what it is: one more byte of the stream.
  // The client's socket has this from its listener.
  platform::set_urgent_inline(server_.socket.native_handle());
}

void TcpRelay::run(Half& half) {
  for (int round = 0; round < kRounds; ++round) {
    switch (step(half)) {
      case Step::again:
        continue;
      case Step::wait_read:
        return wait(half, Wait::wait_read);
      case Step::wait_write:
        return wait(half, Wait::wait_write);
      case Step::ended:
        if (up_.ended && down_.ended) return finish(Ending::closed);
        return watch_for_reset(half);
      case Step::failed:
        return finish(Ending::reset);
    }
  }
  asio::post(worker_.executor(), [self = boost::intrusive_ptr(this), &half] {
    if (!self->finished_) self->run(half);
  });
}

TcpRelay::Step TcpRelay::step(Half& half) {
  if (const Step flushed = flush(half); flushed != Step::again) return flushed;
  if (half.source_ended) return end_half(half);
  return half.moved < kSpliceAfter ? fill_by_copy(half) : fill_by_splice(half);
}

TcpRelay::Step TcpRelay::flush(Half& half) {
  while (!half.rest.empty()) {
    const auto sent = platform::send(half.to.native_handle(), half.rest);
    if (!sent) return platform::would_block(sent.error()) ? Step::wait_write : Step::failed;
    count(half, *sent);
    last_activity_ = Clock::now();
    if (*sent == half.rest.size()) {
      half.rest = {};  // give the memory back, not only the content
    } else {
      half.rest.erase(half.rest.begin(), half.rest.begin() + static_cast<std::ptrdiff_t>(*sent));
    }
  }
  while (half.pipe && half.pipe->filled > 0) {
    const auto sent = platform::splice_out(*half.pipe, half.to.native_handle());
    if (!sent) return platform::would_block(sent.error()) ? Step::wait_write : Step::failed;
    count(half, *sent);
    last_activity_ = Clock::now();
  }
  return Step::again;
}

void TcpRelay::count(Half& half, std::size_t bytes) {
  half.moved += bytes;
  worker_.counters.add(&half == &up_ ? Count::tcp_bytes_up : Count::tcp_bytes_down, bytes);
}

TcpRelay::Step TcpRelay::fill_by_copy(Half& half) {
  auto& scratch = worker_.scratch;
  const auto got = platform::receive(half.from.native_handle(), scratch);
  if (!got) return platform::would_block(got.error()) ? Step::wait_read : Step::failed;
  last_activity_ = Clock::now();
  if (*got == 0) {
    if (broken_off(half)) return Step::failed;
    half.source_ended = true;
    return Step::again;
  }
  const std::size_t size = *got;
  const auto sent = platform::send(half.to.native_handle(), std::span(scratch).first(size));
  if (!sent && !platform::would_block(sent.error())) return Step::failed;
  const std::size_t written = sent ? *sent : 0;
  count(half, written);
  if (written < size) {
    half.rest.assign(scratch.begin() + static_cast<std::ptrdiff_t>(written),
                     scratch.begin() + static_cast<std::ptrdiff_t>(size));
    return Step::again;
  }
  // Less than there was room for: that was all.
  return size < scratch.size() ? Step::wait_read : Step::again;
}

TcpRelay::Step TcpRelay::fill_by_splice(Half& half) {
  if (!half.pipe) {
    auto pipe = worker_.pipes.acquire();
    if (!pipe) return fill_by_copy(half);  // out of descriptors: slower, but it goes on
    half.pipe = std::move(*pipe);
  }
  const auto got = platform::splice_in(half.from.native_handle(), *half.pipe);
  if (got && *got > 0) {
    last_activity_ = Clock::now();
    return Step::again;
  }
  if (!got && !platform::would_block(got.error())) return Step::failed;
  // Nothing more, or the end: so says splice(2) at an urgent mark too, and goes on saying so, while
  // epoll reports the socket readable. Only recv(2) passes the mark; its word counts.
  give_back_pipe(half);
  return fill_by_copy(half);
}

TcpRelay::Step TcpRelay::end_half(Half& half) {
  give_back_pipe(half);
  half.ended = true;
  // ENOTCONN: the other side is gone already; its own half learns that as a reset.
  platform::shut_down_sending(half.to.native_handle());
  return Step::ended;
}

bool TcpRelay::broken_off(const Half& half) const {
  return &half == &down_ ? server_.was_reset() : client_.was_reset();
}

void TcpRelay::give_back_pipe(Half& half) {
  if (!half.pipe) return;
  worker_.pipes.release(std::move(*half.pipe));
  half.pipe.reset();
}

void TcpRelay::wait(Half& half, Wait::wait_type what) {
  // While `to` takes nothing, nobody reads `from`: its reset must be noticed all the same.
  if (what == Wait::wait_write) watch_for_reset(half);
  auto& descriptor = what == Wait::wait_read ? half.from : half.to;
  descriptor.async_wait(
      what, [self = boost::intrusive_ptr(this), &half](const boost::system::error_code& ec) {
        if (!ec && !self->finished_) self->run(half);
      });
}

void TcpRelay::watch_for_reset(Half& half) {
  // The stream of `from` has ended or is not read for now; but its owner may reset the connection
  // while the other half goes on, and the other side must learn that.
  if (half.watched) return;
  half.watched = true;
  half.from.async_wait(Wait::wait_error, [self = boost::intrusive_ptr(this),
                                          &half](const boost::system::error_code& ec) {
    if (ec || self->finished_) return;
    half.watched = false;
    if (is_broken(half.from) || self->broken_off(half)) {
      self->finish(Ending::reset);
    }
  });
}

void TcpRelay::finish(Ending ending) {
  if (finished_) return;
  finished_ = true;
  const boost::intrusive_ptr<TcpRelay> keep(this);  // the waits that end below drop theirs
  if (is_linked()) unlink();
  give_back_pipe(up_);
  give_back_pipe(down_);
  // Counted before the peers can see it, so that whoever saw it finds it counted.
  worker_.counters.add(Count::tcp_closed);
  if (ending == Ending::reset) worker_.counters.add(Count::tcp_reset);
  if (ending == Ending::idle) worker_.counters.add(Count::tcp_idle_timeout);
  if (ending != Ending::closed) {
    client_.reset_on_close();
    server_.reset_on_close();
  }
  boost::system::error_code ignored;
  client_.socket.close(ignored);
  server_.socket.close(ignored);
  std::exchange(done_, nullptr)({ending, up_.moved, down_.moved});
}

}  // namespace hairpin::relay
