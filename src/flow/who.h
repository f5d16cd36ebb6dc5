// Which local process a flow belongs to.
//
// How it works
//
// The kernel tells a socket's number and user by its two ends (sock_diag(7)); which process has
// that socket stands nowhere but in /proc/PID/fd, and is found by reading links until one fits.
// That may take milliseconds, so it is done by a thread of its own, which nobody waits for but
// those flows for which a rule asks. Processes that were found lately are asked first: who opens
// one connection opens another.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "base/asio.h"
#include "flow/flow.h"
#include "platform/owner.h"
#include "rule/facts.h"

namespace hairpin {

/// Null: no process of this host, or one that may not be looked into.
using Owner = std::shared_ptr<const rule::Process>;

/// Shared by all workers. Must be destroyed before their contexts.
class Who {
 public:
  /// Looks in the network namespace that `sockets` was opened in.
  explicit Who(platform::SocketFinder sockets) : sockets_(std::move(sockets)) {}
  ~Who();
  Who(const Who&) = delete;
  Who& operator=(const Who&) = delete;

  /// For any thread. `done` is called once, on `executor`, unless this is destroyed before.
  void find(const Flow& flow, const Executor& executor, std::function<void(Owner)> done);

 private:
  struct Question {
    Flow flow;
    Executor executor;
    std::function<void(Owner)> done;
  };
  void serve();
  Owner look_up(const Flow& flow);
  pid_t holder(const platform::SocketFinder::Found& socket);

  platform::SocketFinder sockets_;
  std::deque<pid_t> lately_;                    ///< Processes that were found, the last first.
  std::map<std::uint32_t, std::string> users_;  ///< Names that have been asked for.

  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Question> questions_;
  bool ended_ = false;
  std::thread thread_;  ///< Started by the first question.
};

/// The same, awaited.
Task<Owner> find_owner(Who& who, const Flow& flow, Executor executor);

}  // namespace hairpin
