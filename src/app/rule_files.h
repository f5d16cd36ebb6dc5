// Watches the files of rule-sets.
#pragma once

#include <map>
#include <string>

#include "config/config.h"
#include "config/rule_set.h"

namespace hairpin::app {

class RuleFiles {
 public:
  /// Notes the files as they are: `config` has been loaded from them.
  void follow(const config::Config& config);

  /// Whether a file has changed, and has then been left alone from one call to the next: it may be
  /// in the middle of being written.
  bool have_changed();

  /// Reads the changed files again. What is wrong with one is told in the log, and its rule-set
  /// stays as it was. Says whether any was read.
  bool read(config::Config& config);

 private:
  struct File {
    std::optional<Stamp> loaded;  ///< As it was when it was read.
    std::optional<Stamp> seen;    ///< At the last look.
    bool due = false;
  };
  std::map<std::string, File> files_;  ///< By path.
};

}  // namespace hairpin::app
