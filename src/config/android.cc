#include "config/android.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace hairpin::config {

namespace {

bool asks(const AutoRoute& route) {
  return !route.include_android_user.empty() || !route.include_package.empty() ||
         !route.exclude_package.empty();
}

/// The folders whose names are numbers; the first user where there are none.
std::vector<std::uint32_t> android_users() {
  std::vector<std::uint32_t> users;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kAndroidUsers, ignored)) {
    const auto number = parse_number(entry.path().filename().string(), 999);
    if (number) users.push_back(static_cast<std::uint32_t>(*number));
  }
  std::ranges::sort(users);
  if (users.empty()) users.push_back(0);
  return users;
}

}  // namespace

std::map<std::string, std::uint32_t, std::less<>> parse_packages(std::string_view list) {
  std::map<std::string, std::uint32_t, std::less<>> packages;
  std::istringstream lines{std::string(list)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint32_t uid = 0;
    if (words >> name >> uid) packages[name] = uid % kUidsPerAndroidUser;
  }
  return packages;
}

void resolve_packages(AutoRoute& route, std::string_view packages_list,
                      const std::vector<std::uint32_t>& users, const std::string& where,
                      Problems& problems) {
  const auto packages = parse_packages(packages_list);
  const auto& of = route.include_android_user.empty() ? users : route.include_android_user;
  const auto add = [&](const char* field, const std::vector<std::string>& names,
                       std::vector<UidRange>& to) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto found = packages.find(names[i]);
      if (found == packages.end()) {
        problems.push_back(
            {where + "." + field + "[" + std::to_string(i) + "]",
             "no package \"" + names[i] + "\" is installed (" + kPackagesList + ")"});
        continue;
      }
      for (const std::uint32_t user : of) {
        const std::uint32_t uid = user * kUidsPerAndroidUser + found->second;
        to.push_back({uid, uid});
      }
    }
  };
  add("include_package", route.include_package, route.include_uid);
  add("exclude_package", route.exclude_package, route.exclude_uid);
  if (!route.include_package.empty()) return;
  for (const std::uint32_t user : route.include_android_user) {
    const std::uint32_t first = user * kUidsPerAndroidUser;
    route.include_uid.push_back({first, first + kUidsPerAndroidUser - 1});
  }
}

void load_packages(Config& config, Problems& problems) {
  for (std::size_t i = 0; i < config.inbounds.size(); ++i) {
    AutoRoute& route = config.inbounds[i].auto_route;
    if (!asks(route)) continue;
    const std::string where = "inbounds[" + std::to_string(i) + "]";
    std::ostringstream text;
    if (!route.include_package.empty() || !route.exclude_package.empty()) {
      const std::ifstream file(kPackagesList);
      if (!file) {
        problems.push_back({where, std::string("packages are Android's: ") + kPackagesList +
                                       " cannot be read; use include_uid or exclude_uid"});
        continue;
      }
      text << file.rdbuf();
    }
    resolve_packages(route, text.str(), android_users(), where, problems);
  }
}

}  // namespace hairpin::config
