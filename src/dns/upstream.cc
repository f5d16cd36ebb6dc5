#include "dns/upstream.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

namespace hairpin::dns {

namespace {

/// The first answer that is waited for; then twice as long, and so on.
constexpr auto kFirstPatience = std::chrono::milliseconds(1000);
/// A connection that nobody has used for so long is closed.
constexpr auto kIdle = std::chrono::seconds(30);
constexpr auto kKeptPatience = std::chrono::seconds(3);
/// A path's port is used for no more questions than this, and no longer: who sends forged answers
/// has to guess it anew (RFC 5452, section 9.2).
constexpr unsigned kQuestionsPerPath = 64;
constexpr auto kPathAge = std::chrono::seconds(10);

}  // namespace

std::uint16_t random_id() {
  std::array<unsigned char, 2> bytes{};
  (void)RAND_bytes(bytes.data(), bytes.size());
  return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]);
}

std::uint16_t Pending::add(Waiting& waiting) {
  for (;;) {
    const std::uint16_t id = random_id();
    if (waiting_.try_emplace(id, &waiting).second) return id;
  }
}

void Pending::deliver(View message) {
  if (message.size() < kHeader) return;
  const auto found = waiting_.find(id_of(message));
  if (found == waiting_.end() || found->second->answer) return;
  if (answers(message, found->second->question)) found->second->take(message);
}

void Pending::wake_all() {
  for (const auto& [id, waiting] : waiting_) waiting->timer.cancel();
}

// ---- over a stream ------------------------------------------------------------------------------

/// Others wait as long as it lives.
struct Opener::Turn {
  explicit Turn(Opener& of) : opener(of) { opener.opening_ = true; }
  ~Turn() {
    opener.opening_ = false;
    for (Timer* timer : opener.awaiting_) timer->cancel();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Opener& opener;
};

Task<Result<std::optional<Opener::Opened>>> Opener::open(Clock::duration patience) {
  if (opening_) {
    Timer timer(worker_.executor());
    timer.expires_after(patience);
    const auto place = awaiting_.insert(awaiting_.end(), &timer);
    (void)co_await timer.async_wait(kAsTuple);
    awaiting_.erase(place);
    co_return std::nullopt;
  }
  const Turn turn(*this);
  auto opened = co_await connect(patience);
  if (!opened) co_return opened.error();
  co_return std::optional<Opened>(std::move(*opened));
}

Task<Result<Opener::Opened>> Opener::connect(Clock::duration patience) {
  auto connection = co_await remote_.through->connect(remote_.target);
  if (!connection) co_return connection.error();
  std::string alpn;
  if (remote_.tls) {
    auto secured =
        co_await outbound::start_tls(worker_, std::move(*connection), remote_.tls, patience);
    if (!secured) co_return secured.error();
    connection = std::move(secured->connection);
    alpn = std::move(secured->alpn);
  }
  co_return Opened{std::make_shared<MessageStream>(worker_, std::move(*connection)),
                   std::move(alpn)};
}

Task<Result<std::shared_ptr<StreamUpstream::Link>>> StreamUpstream::connected(
    Clock::duration patience) {
  if (!link_ || link_->broken || link_->pending.full()) {
    auto opened = co_await opener_.open(patience);
    if (!opened) co_return opened.error();
    if (*opened) {
      link_ = std::make_shared<Link>();
      link_->stream = std::move((*opened)->stream);
      asio::co_spawn(worker_.executor(), read(link_), asio::detached);
    }
  }
  if (link_ && !link_->broken) co_return link_;
  co_return Error{"connect " + opener_.target().text(), ECONNABORTED};
}

Task<> StreamUpstream::read(std::shared_ptr<Link> link) {
  for (;;) {
    auto message = co_await link->stream->receive(kIdle);
    if (message) {
      link->heard = Clock::now();
      link->pending.deliver(*message);
      continue;
    }
    if (message.error().code != ETIMEDOUT || link->pending.empty()) break;
  }
  link->broken = true;
  link->stream->close();
  link->pending.wake_all();
}

Task<Result<Bytes>> StreamUpstream::exchange(const Query& query, Clock::duration patience) {
  const auto self = shared_from_this();
  const auto until = Clock::now() + patience;
  // A connection that was kept may have been closed by the server meanwhile: that is no failure.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const bool kept = attempt == 0 && link_ && !link_->broken;
    const auto found = co_await connected(until - Clock::now());
    if (!found) co_return found.error();
    const std::shared_ptr<Link> link = *found;
    Waiting waiting(worker_.executor(), query.question);
    const Pending::Seat seat(link->pending, waiting);
    const auto asked = Clock::now();
    link->stream->send(write_query(query, seat.id(), true));
    // One that was kept may lead nowhere by now: there must be time left for another.
    waiting.timer.expires_at(kept ? std::min<Clock::time_point>(until, asked + kKeptPatience)
                                  : until);
    if (link->stream->is_open()) (void)co_await waiting.timer.async_wait(kAsTuple);
    if (waiting.answer) co_return std::move(*waiting.answer);
    if (!link->broken && link->heard < asked) {
      link->broken = true;
      link->stream->close();
    }
    if (!kept) break;
  }
  if (Clock::now() >= until) co_return Error{"ask " + opener_.target().text(), ETIMEDOUT};
  co_return Error{opener_.target().text() + " closed the connection"};
}

// ---- over UDP -----------------------------------------------------------------------------------

struct UdpUpstream::Path final : outbound::UdpSink {
  explicit Path(const Target& target) : server(target) {}

  void deliver(const Endpoint& from, const platform::Burst& burst) override {
    if (server.has_address() && from != server.endpoint) return;
    for (std::size_t i = 0; i < burst.count; ++i) {
      const auto datagram = burst[i];
      pending.deliver({reinterpret_cast<const std::uint8_t*>(datagram.data()), datagram.size()});
    }
  }
  void reached(const Target& /*target*/, const Endpoint& real) override { server.endpoint = real; }
  void failed(const Error& error) override {
    failure = error;
    pending.wake_all();
  }

  Target server;
  std::unique_ptr<outbound::UdpPath> path;
  Pending pending;
  std::optional<Error> failure;
  unsigned questions = 0;
  Clock::time_point opened = Clock::now();
};

UdpUpstream::~UdpUpstream() = default;

Result<std::shared_ptr<UdpUpstream::Path>> UdpUpstream::path() {
  const bool usable = path_ && !path_->failure && path_->questions < kQuestionsPerPath &&
                      Clock::now() < path_->opened + kPathAge;
  if (!usable) {
    auto fresh = std::make_shared<Path>(remote_.target);
    auto opened = remote_.through->open_udp(*fresh);
    if (!opened) return opened.error();
    fresh->path = std::move(*opened);
    path_ = std::move(fresh);  // who waits for the other one holds it
  }
  ++path_->questions;
  return path_;
}

Task<Result<Bytes>> UdpUpstream::exchange(const Query& query, Clock::duration patience) {
  const auto self = shared_from_this();
  const auto until = Clock::now() + patience;
  bool extended = true;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!remote_.through->carries(config::Network::udp)) break;
    const auto opened = path();
    if (!opened) co_return opened.error();
    const std::shared_ptr<Path> path = *opened;
    Waiting waiting(worker_.executor(), query.question);
    const Pending::Seat seat(path->pending, waiting);
    Clock::duration step = kFirstPatience;
    while (!waiting.answer && !path->failure && Clock::now() < until) {
      Bytes message = write_query(query, seat.id(), extended);
      const auto bytes = std::as_writable_bytes(std::span(message));
      path->path->send(remote_.target, platform::Burst::single(bytes, 0, bytes.size()));
      waiting.timer.expires_at(std::min(until, Clock::now() + step));
      step *= 2;
      if (path->failure) break;
      (void)co_await waiting.timer.async_wait(kAsTuple);
    }
    if (path->failure) {
      if (attempt == 0) continue;
      co_return *path->failure;
    }
    if (!waiting.answer) co_return Error{"ask " + remote_.target.text(), ETIMEDOUT};
    const std::uint8_t rcode = rcode_of(*waiting.answer);
    if (extended && (rcode == kFormErr || rcode == kNotImp)) {  // RFC 6891, section 6.2.2
      extended = false;
      continue;
    }
    if (!is_truncated(*waiting.answer)) co_return std::move(*waiting.answer);
    break;
  }
  co_return co_await stream_->exchange(query, until - Clock::now());
}

}  // namespace hairpin::dns
