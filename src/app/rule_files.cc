#include "app/rule_files.h"

#include "base/log.h"

namespace hairpin::app {

void RuleFiles::follow(const config::Config& config) {
  std::map<std::string, File> files;
  for (const config::RuleSet& set : config.route.rule_sets) {
    if (set.path.empty()) continue;
    files[set.path] = {set.stamp, set.stamp};
  }
  files_ = std::move(files);
}

bool RuleFiles::have_changed() {
  bool any = false;
  for (auto& [path, file] : files_) {
    const auto now = stamp_of(path);
    // A file that has vanished is being replaced, or will be missed when the program starts again.
    file.due = now && now != file.loaded && now == file.seen;
    file.seen = now;
    any |= file.due;
  }
  return any;
}

bool RuleFiles::read(config::Config& config) {
  bool any = false;
  for (config::RuleSet& set : config.route.rule_sets) {
    const auto file = files_.find(set.path);
    if (file == files_.end() || !file->second.due) continue;
    config::Problems problems;
    config::load_rule_set(set, problems);
    file->second.loaded = set.stamp;
    for (const config::Problem& problem : problems) {
      log::error("{}: {}; the rule-set stays as it was", problem.where, problem.message);
    }
    if (!problems.empty()) continue;
    log::info("rule-set \"{}\" was read again", set.tag);
    any = true;
  }
  return any;
}

}  // namespace hairpin::app
