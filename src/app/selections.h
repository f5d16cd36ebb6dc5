// What has been chosen by hand in groups of type "selector", kept over a restart.
//
// Only what somebody has chosen is kept, not what a group uses by default: another default in the
// configuration counts for groups that nobody has touched.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "outbound/group_state.h"

namespace hairpin::app {

/// For one thread.
class Selections {
 public:
  /// Does what has been chosen, and what is kept; to be called for each configuration. A file that
  /// is not there is an empty one; what is no file of ours is told in the log, and replaced with
  /// the next choice. Groups and members that are not there any more are passed over: they may come
  /// back.
  void restore(const config::CacheFile& file, const outbound::Groups& groups);
  /// A choice has been made. Error: it will be forgotten with a restart.
  Result<> keep(const config::CacheFile& file, const std::string& group, const std::string& member);

 private:
  void read(const config::CacheFile& file);

  std::string read_;                           ///< Path of the file that has been read.
  std::map<std::string, std::string> chosen_;  ///< Members by groups, as tags.
};

}  // namespace hairpin::app
