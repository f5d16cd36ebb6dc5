// The command line: which command, and its options as values.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::cli {

/// A configuration: a file, or the same written as options.
struct Source {
  std::string file;  ///< Empty: `options`. "-": standard input.
  nlohmann::json options;
};

struct Run {
  Source source;
  std::optional<std::string> log_level;
  std::optional<std::string> link;   ///< Beside a file: of all its interfaces.
  std::optional<std::string> stack;  ///< The same.
  std::string netns;                 ///< A path or a process; empty: none.
};
struct Check {
  Source source;
};
struct Plan {
  Source source;
};
struct Exec {
  nlohmann::json options;
  std::vector<IpAddr> dns;
  std::vector<std::string> command;
};
struct Match {
  Source source;
  std::string network = "tcp";
  std::string client;   ///< Address or address and port; empty: not known.
  std::string mac;      ///< Hardware address of the client; empty: not known.
  std::string inbound;  ///< Empty: the first.
  std::string domain;   ///< Lower case.
  std::string protocol;
  std::string process;      ///< Path of the executable of the local process; empty: not known.
  std::string user;         ///< Its user, by name or number; empty: not known.
  std::string destination;  ///< An address or a name, and perhaps a port.
};
struct RuleSet {
  enum class What : std::uint8_t { compile, decompile, match };
  What what = What::match;
  std::string file;
  std::string output;  ///< Empty: standard output.
  std::string asked;   ///< The name or address to match.
};
struct Bypass {
  std::string mark;
  std::vector<std::string> command;
};
struct Reload {
  std::optional<int> pid;
};
struct Select {
  std::optional<int> pid;
  std::string group;
  std::string outbound;
};
struct Groups {
  std::optional<int> pid;
  bool json = false;
};
struct Cleanup {};
struct Doctor {
  Source source;
  bool json = false;
};
struct Version {};
struct Help {
  std::string text;
};

using Command = std::variant<Run, Check, Plan, Match, RuleSet, Exec, Bypass, Reload, Select, Groups,
                             Cleanup, Doctor, Version, Help>;

/// Requires: argv as main() gets it. An error is wrong usage, told in one sentence.
Result<Command> parse(int argc, const char* const* argv);

/// One option of a command, for the test that holds the manual page against them.
struct OptionInfo {
  std::string command;
  std::string name;  ///< Long, without dashes.
};
std::vector<OptionInfo> all_options();
std::vector<std::string> all_commands();

}  // namespace hairpin::cli
