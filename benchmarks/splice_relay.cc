#include "splice_relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "platform/sockets.h"

namespace hairpin::bench {

namespace {

/// Rounds of one direction before others have their turn: some megabytes.
constexpr int kTurns = 8;

}  // namespace

SpliceRelay::SpliceRelay(Loop& loop, platform::PipePool& pipes, Fd client, Fd server,
                         Answers answers)
    : loop_(loop),
      pipes_(pipes),
      client_(std::move(client)),
      server_(std::move(server)),
      answers_(answers) {
  halves_[0].from = halves_[1].to = client_.get();
  halves_[1].from = halves_[0].to = server_.get();
}

void SpliceRelay::start() {
  loop_.watch(server_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this);
  loop_.watch(client_.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this);
}

bool SpliceRelay::connect_done() {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  // A socket whose connect goes on has no peer yet, and no error either.
  if (const int error = platform::take_socket_error(server_.get()); error != 0) {
    (void)::send(client_.get(), answers_.failed.data(), answers_.failed.size(), MSG_NOSIGNAL);
    finish(answers_.failed.empty());
    return false;
  }
  if (::getpeername(server_.get(), reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  connected_ = true;
  if (!answers_.connected.empty()) {
    (void)::send(client_.get(), answers_.connected.data(), answers_.connected.size(), MSG_NOSIGNAL);
  }
  return true;
}

void SpliceRelay::ready(std::uint32_t /*events*/) {
  queued_ = false;
  if (finished_) return;
  if (!connected_ && !connect_done()) return;
  bool more = false;
  for (Half& half : halves_) {
    switch (pump(half)) {
      case Progress::failed:
        return finish(true);
      case Progress::more:
        more = true;
        break;
      case Progress::waits:
        break;
    }
  }
  if (halves_[0].closed && halves_[1].closed) return finish(false);
  if (more && !queued_) {
    queued_ = true;
    loop_.again(*this);
  }
}

SpliceRelay::Progress SpliceRelay::pump(Half& half) {
  if (half.closed) return Progress::waits;
  if (!half.has_pipe) {
    auto pipe = pipes_.acquire();
    if (!pipe) return Progress::failed;
    half.pipe = std::move(*pipe);
    half.has_pipe = true;
  }
  Progress progress = Progress::more;
  for (int turn = 0; turn < kTurns && progress == Progress::more; ++turn) {
    progress = Progress::waits;
    if (!half.ended && half.pipe.filled < half.pipe.capacity) {
      const auto in = platform::splice_in(half.from, half.pipe);
      if (!in && in.error().code != EAGAIN) return Progress::failed;
      if (in && *in == 0) half.ended = true;
      if (in && *in > 0) progress = Progress::more;
    }
    if (half.pipe.filled > 0) {
      const auto out = platform::splice_out(half.pipe, half.to);
      if (!out && out.error().code != EAGAIN) return Progress::failed;
      if (out && *out > 0) progress = Progress::more;
    }
  }
  if (half.pipe.filled == 0) {
    pipes_.release(std::move(half.pipe));
    half.has_pipe = false;
    if (half.ended) {
      ::shutdown(half.to, SHUT_WR);
      half.closed = true;
    }
  }
  return progress;
}

void SpliceRelay::finish(bool reset) {
  finished_ = true;
  if (reset) {
    platform::reset_on_close(client_.get());
    platform::reset_on_close(server_.get());
  }
  // Now, not with this object: a descriptor that is closed has no events left.
  client_.reset();
  server_.reset();
  loop_.retire(*this);
}

}  // namespace hairpin::bench
