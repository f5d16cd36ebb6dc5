#include "app/selections.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"

namespace hairpin::app {

namespace {

/// Beside the file of fake addresses, which is appended to.
std::string path_of(const config::CacheFile& file) {
  return file.path + ".selected";
}

}  // namespace

void Selections::read(const config::CacheFile& file) {
  if (!file.enabled || file.path == read_) return;
  read_ = file.path;
  std::ifstream in(path_of(file));
  if (!in) return;
  const auto json = nlohmann::json::parse(in, nullptr, false);
  if (!json.is_object()) return log::warn("{} tells no choices: ignored", path_of(file));
  for (const auto& [group, member] : json.items()) {
    if (member.is_string()) chosen_.try_emplace(group, member.get<std::string>());
  }
}

void Selections::restore(const config::CacheFile& file, const outbound::Groups& groups) {
  read(file);
  for (const auto& [group, member] : chosen_) {
    const auto known = groups.by_tag.find(group);
    if (known != groups.by_tag.end()) (void)known->second->select(member);
  }
}

Result<> Selections::keep(const config::CacheFile& file, const std::string& group,
                          const std::string& member) {
  chosen_[group] = member;
  if (!file.enabled) return {};
  return replace_file(path_of(file), nlohmann::json(chosen_).dump(2) + "\n");
}

}  // namespace hairpin::app
