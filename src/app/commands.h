// The commands, each from checked values to an exit status.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "config/config.h"
#include "rule/facts.h"

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

/// Removes what killed ones have left behind. Says what that was.
int cleanup();

/// Looks at this host, and prints what is in the way of `config`.
int doctor(const config::Config& config, bool json);

/// kExitOk, or kExitConfig after telling what makes `config` impossible on this host.
int refuse(const config::Config& config);

/// Prints which rule `config` has for a flow, and why not those before it.
int match(const config::Config& config, const rule::Facts& facts);

/// A rule-set of one format into the other. Empty `output`: standard output.
int compile_rule_set(const std::string& file, const std::string& output);
int decompile_rule_set(const std::string& file, const std::string& output);
/// Prints the first rule of a rule-set that a name or an address belongs to; kExitFailure if there
/// is none.
int match_rule_set(const std::string& file, const std::string& what);

/// Replaces this process by the command, whose sockets have `mark`. Returns only when it cannot.
int bypass(Mark mark, const std::vector<std::string>& command);

/// A `hairpin run` of this network namespace.
struct Instance {
  int process = 0;
  std::string config;  ///< The file it reads; empty: none.
};
/// With `process` 0 the only one there is.
Result<Instance> find_instance(int process);
/// Has it read its configuration again.
int reload(const Instance& instance);

/// Has a selector of its use an outbound.
int select(const Instance& instance, const std::string& group, const std::string& outbound);
/// Prints its groups, and what they choose.
int show_groups(const Instance& instance, bool json);

struct ExecOptions {
  std::vector<std::string> command;  ///< At least one word.
  std::vector<IpAddr> dns;           ///< Name servers for the command; empty: the system's.
};

/// Runs the command in a network namespace of its own, whose only way out is `config`'s one
/// inbound. Returns the command's exit status; 128 and the number of the signal that ended it; 126
/// and 127 when it cannot be run or is not found.
int exec(const config::Config& config, const ExecOptions& options);

}  // namespace hairpin::app
