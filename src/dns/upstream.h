// Servers that are asked over a network.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/asio.h"
#include "dns/message_stream.h"
#include "flow/worker.h"
#include "outbound/outbound.h"
#include "outbound/tls.h"
#include "wire/dns.h"

namespace hairpin::dns {

/// For one thread. Whoever asks holds it.
class Upstream : public std::enable_shared_from_this<Upstream> {
 public:
  virtual ~Upstream() = default;
  Upstream() = default;
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  /// A message that says that it answers the question, and is not truncated. `query` lives until
  /// then.
  virtual Task<Result<Bytes>> exchange(const Query& query, Clock::duration patience) = 0;
};

/// A number that nobody can guess (RFC 5452, section 9.2).
std::uint16_t random_id();

/// Somebody who waits for an answer. Lives in the coroutine that waits.
struct Waiting {
  explicit Waiting(const Executor& executor, const Question& of) : question(of), timer(executor) {}
  const Question& question;
  Timer timer;
  std::optional<Bytes> answer;

  void take(View message) {
    answer.emplace(message.begin(), message.end());
    timer.cancel();
  }
};
/// By the number that the question was given.
class Pending {
 public:
  /// A number, as long as it lives.
  class Seat {
   public:
    Seat(Pending& pending, Waiting& waiting) : pending_(pending), id_(pending.add(waiting)) {}
    ~Seat() { pending_.waiting_.erase(id_); }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    std::uint16_t id() const { return id_; }

   private:
    Pending& pending_;
    std::uint16_t id_;
  };
  /// Gives a message to whom it answers; what answers nobody is ignored.
  void deliver(View message);
  void wake_all();
  bool empty() const { return waiting_.empty(); }
  bool full() const { return waiting_.size() >= 4096; }

 private:
  std::uint16_t add(Waiting& waiting);

  std::unordered_map<std::uint16_t, Waiting*> waiting_;
};

/// Where a stream of messages leads, and how it is opened.
struct Remote {
  std::shared_ptr<outbound::Outbound> through;
  Target target;
  std::shared_ptr<outbound::TlsClient> tls;  ///< Null: in the clear.
};

/// Opens streams to it.
class Opener {
 public:
  Opener(Worker& worker, Remote remote) : worker_(worker), remote_(std::move(remote)) {}

  struct Opened {
    std::shared_ptr<MessageStream> stream;
    std::string alpn;  ///< That the server chose; empty: none.
  };
  /// One at a time. Empty: somebody else has opened one, or has failed to, meanwhile.
  Task<Result<std::optional<Opened>>> open(Clock::duration patience);
  const Target& target() const { return remote_.target; }

 private:
  struct Turn;
  Task<Result<Opened>> connect(Clock::duration patience);

  Worker& worker_;
  Remote remote_;
  bool opening_ = false;
  std::list<Timer*> awaiting_;
};

/// Over TCP (RFC 7766) or TLS (RFC 7858): one connection for all questions, kept for a while.
class StreamUpstream final : public Upstream {
 public:
  StreamUpstream(Worker& worker, Remote remote)
      : worker_(worker), opener_(worker, std::move(remote)) {}
  Task<Result<Bytes>> exchange(const Query& query, Clock::duration patience) override;

 private:
  struct Link {
    std::shared_ptr<MessageStream> stream;
    Pending pending;
    Clock::time_point heard = Clock::now();  ///< Anything.
    bool broken = false;
  };
  Task<Result<std::shared_ptr<Link>>> connected(Clock::duration patience);
  static Task<> read(std::shared_ptr<Link> link);

  Worker& worker_;
  Opener opener_;
  std::shared_ptr<Link> link_;
};

/// Over UDP; what does not fit is asked for again over TCP.
class UdpUpstream final : public Upstream {
 public:
  UdpUpstream(Worker& worker, const Remote& remote)
      : worker_(worker),
        remote_(remote),
        stream_(std::make_shared<StreamUpstream>(worker, remote)) {}
  ~UdpUpstream() override;
  Task<Result<Bytes>> exchange(const Query& query, Clock::duration patience) override;

 private:
  struct Path;
  Result<std::shared_ptr<Path>> path();

  Worker& worker_;
  Remote remote_;
  std::shared_ptr<Path> path_;
  std::shared_ptr<StreamUpstream> stream_;
};

}  // namespace hairpin::dns
