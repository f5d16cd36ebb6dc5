// The commands, each from checked values to an exit status.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "config/config.h"

namespace hairpin::app {

struct RunOptions {
  /// Reads the configuration anew; tells what is wrong with it, and is empty then. Empty itself
  /// where there is nothing to be read.
  std::function<std::optional<config::Config>()> reload;
  std::string netns;  ///< Where the interfaces are made: a path or a process; empty: here.
};

/// Brings the interfaces up and serves flows until SIGINT or SIGTERM. SIGHUP reads the
/// configuration again; SIGUSR1 writes the counters to the log.
int run(const config::Config& config, const RunOptions& options);

/// Prints what `run` would do to the host's routing.
int plan(const config::Config& config);

struct ExecOptions {
  std::vector<std::string> command;  ///< At least one word.
  std::vector<IpAddr> dns;           ///< Name servers for the command; empty: the system's.
};

/// Runs the command in a network namespace of its own, whose only way out is `config`'s one
/// inbound. Returns the command's exit status; 128 and the number of the signal that ended it; 126
/// and 127 when it cannot be run or is not found.
int exec(const config::Config& config, const ExecOptions& options);

}  // namespace hairpin::app
