// What the benchmark programs share: options, sockets that serve or ask, and one epoll loop.
//
// They are tools, not daemons: what goes wrong in setting up ends the program with a sentence
// (`die`); what goes wrong with one connection ends that connection.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

namespace hairpin::bench {

using Clock = std::chrono::steady_clock;

/// Prints `what` and ends the program.
[[noreturn]] void die(const std::string& what);
/// Ends the program, with errno's text, when a system call has failed; else passes its result on.
int check(int result, const std::string& what);
template <class T>
T must(Result<T> result) {
  if (!result) die(result.error().text());
  return std::move(*result);
}

/// `--name value` and `--flag`, in any order, behind the words that stand first.
class Options {
 public:
  /// Ends the program on a name that is not in `known`.
  Options(int argc, char** argv, std::initializer_list<std::string_view> known);

  const std::vector<std::string>& words() const { return words_; }
  bool has(const std::string& name) const { return named_.contains(name); }
  std::string text(const std::string& name) const;  ///< Ends the program when it was not given.
  double number(const std::string& name, double otherwise) const;
  Endpoint endpoint(const std::string& name) const;

 private:
  std::vector<std::string> words_;
  std::map<std::string, std::string> named_;
};

Endpoint parse_endpoint(const std::string& text);
/// The same address, another port.
Endpoint with_offset(const Endpoint& base, unsigned offset);

/// Non-blocking. Several may listen on one port (SO_REUSEPORT): one for each thread.
Fd listen_tcp(const Endpoint& at);
/// Non-blocking. Its buffers are large, so that what is lost is not lost here.
Fd bind_udp(const Endpoint& at);
/// Blocking, with a time limit of `seconds` for each call on it. Errors are returned: a contender
/// may refuse a flow.
Result<Fd> connect_tcp(const Endpoint& to, double seconds);
void set_timeout(int socket, double seconds);
void grow_buffers(int socket);
/// The limits that thousands of flows would meet, and the signal that splice raises.
void prepare_process();

/// Whom the loop calls when a descriptor is ready.
class Handler {
 public:
  Handler() = default;
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;
  virtual ~Handler() = default;
  virtual void ready(std::uint32_t events) = 0;
};

/// One epoll loop, for one thread. It keeps its handlers until they are retired.
class Loop {
 public:
  Loop();

  template <class T, class... Args>
  T& make(Args&&... args) {
    auto handler = std::make_unique<T>(std::forward<Args>(args)...);
    T& made = *handler;
    handlers_.emplace(&made, std::move(handler));
    return made;
  }
  /// A descriptor that is watched already is given to `handler`; it hears of what is ready anew.
  void watch(int fd, std::uint32_t events, Handler& handler);
  /// Calls `handler` again in the next round, after the others had their turn.
  void again(Handler& handler) { again_.push_back(&handler); }
  /// Destroys it when the round is over: events of it may still be in hand.
  void retire(Handler& handler) { retired_.push_back(&handler); }

  [[noreturn]] void run();

 private:
  Fd epoll_;
  std::unordered_map<Handler*, std::unique_ptr<Handler>> handlers_;
  std::vector<Handler*> again_;
  std::vector<Handler*> retired_;
};

/// When to send, for a steady rate: ticks of a timer, and how many datagrams are due at each.
class Pacer {
 public:
  /// Datagrams that go to the kernel in one call. Programs that send many do as much.
  static constexpr std::size_t kBatch = 32;

  /// `rate` in datagrams per second.
  Pacer(double rate, std::chrono::nanoseconds duration);
  Clock::duration tick() const { return tick_; }
  bool over(Clock::time_point now) const { return now >= end_; }
  /// At most kBatch. Who was kept from running does not make up for all of it: a burst of thousands
  /// would measure the scheduler, not the way.
  std::size_t take(Clock::time_point now);

 private:
  double rate_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point end_;
  Clock::duration tick_;
  double gone_ = 0;  ///< Datagrams that were sent, or given up.
};

}  // namespace hairpin::bench
