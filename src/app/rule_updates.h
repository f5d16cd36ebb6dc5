// Fetches remote rule-sets, and puts them where RuleFiles sees them.
//
// A rule-set is fetched when there is no file of it, or when the last look at its server is older
// than its interval; beside the file stands one with the server's name for that version ("etag"),
// whose time is that of the last look. What is fetched is read before it takes the place of what
// there is: a file that is none of its format changes nothing.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <list>
#include <memory>

#include "base/asio.h"
#include "config/config.h"
#include "dispatch/dispatcher.h"

namespace hairpin::app {

/// For the worker that it is given; destroyed when that has ended.
class RuleUpdates : public std::enable_shared_from_this<RuleUpdates> {
 public:
  RuleUpdates(Worker& worker, dispatch::Dispatcher& dispatcher)
      : worker_(worker), dispatcher_(dispatcher) {}

  /// Follows the rule-sets of the dispatcher's configuration from now on, and no others.
  void restart();
  /// For any thread, when the worker has ended.
  void join() { reader_.join(); }

 private:
  Task<> follow(config::RuleSet set, std::shared_ptr<outbound::Outbound> through, unsigned run);
  Task<Result<bool>> update(const config::RuleSet& set, outbound::Outbound& through);
  Task<Result<>> keep(const config::RuleSet& set, std::string body);
  Task<> wait(Clock::duration duration);

  Worker& worker_;
  dispatch::Dispatcher& dispatcher_;
  unsigned run_ = 0;  ///< Those who follow for an earlier one end.
  std::list<Timer*> waiting_;
  asio::thread_pool reader_{1};  ///< Reading a large file would hold flows up.
};

}  // namespace hairpin::app
