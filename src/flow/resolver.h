// Host names of proxies. One question is asked at a time for each name, whoever waits; the answer
// is kept for a while, and nobody waits longer than it wants to. An answer that is too old is used
// all the same until there is a new one: the question may itself have to go through the proxy.
//
// getaddrinfo(3) can neither be interrupted nor awaited: it runs in a thread of its own, which may
// outlive the resolver, and then tells nobody.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/asio.h"
#include "base/result.h"

namespace hairpin {

using Addresses = Result<std::vector<IpAddr>>;

/// For one thread.
class Resolver {
 public:
  explicit Resolver(const Executor& executor);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// In the system's order of preference; at least one. A text that is an address is its own
  /// answer.
  Task<Addresses> resolve(std::string host, Clock::duration patience);
  /// An answer that somebody else has had.
  void remember(const std::string& host, std::vector<IpAddr> addresses);

 private:
  struct Mailbox;  ///< Shared with the threads that ask.
  struct Entry {
    std::optional<Addresses> answer;
    Clock::time_point until;  ///< Of the answer's validity.
    bool asking = false;
    std::list<Timer*> waiting;
  };
  void ask(const std::string& host);
  void answered(const std::string& host, Addresses answer);

  Executor executor_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace hairpin
