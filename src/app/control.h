// What the program is told from outside while it serves: signals, changes of the network, the end
// of a sleep. One thread; everything here runs on it.
#pragma once

#include <functional>

#include "app/requests.h"
#include "base/fd.h"
#include "base/result.h"

namespace hairpin::app {

/// Does something whose traces in nftables we do not want to hear of.
using Unheard = std::function<void(const std::function<void()>& action)>;

struct Actions {
  std::function<void()> look;  ///< The network has changed, or may have.
  /// Twice a second. Says whether `look` is due.
  std::function<bool()> tick;
  std::function<bool()> files_changed;               ///< Asked twice a second.
  std::function<void()> read_files;                  ///< They have.
  std::function<void()> reload;                      ///< SIGHUP
  std::function<void()> report;                      ///< SIGUSR1
  Answer answer;                                     ///< To what others ask.
  std::function<void(const Unheard& unheard)> tell;  ///< Twice a second.
};

/// Serves until SIGTERM or SIGINT. Changes of the network are passed on when nothing more has come
/// for a quarter of a second, or every two seconds if it does not end. Requires: these signals are
/// blocked, and the calling thread is in the network namespace that is meant.
/// `requests` is from open_requests; empty: nobody is answered.
Result<> serve_control(const Actions& actions, Fd requests);

/// The signals that `serve_control` takes, blocked for the calling thread and all it starts.
void block_control_signals();

}  // namespace hairpin::app
