#include "platform/cgroup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

namespace hairpin::platform {

namespace {

/// A text could be an error's as well: this one is none.
Result<std::string> found(std::string text) {
  return Result<std::string>(boost::system::in_place_value, std::move(text));
}

Result<std::string> directory_of(const std::string& path) {
  auto root = cgroup_root();
  if (!root) return root;
  return found(path.empty() ? *root : *root + "/" + path);
}

}  // namespace

Result<std::string> cgroup_root() {
  // proc_pid_mountinfo(5): … mount point … - type source options
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string::npos) continue;
    std::istringstream words(line);
    std::string word;
    constexpr int kMountPoint = 5;
    for (int i = 0; i < kMountPoint; ++i) words >> word;
    return found(word);
  }
  return Error{"no control groups of version 2 are mounted (cgroups(7))", ENOENT};
}

Result<std::uint64_t> cgroup_id(const std::string& path) {
  const auto directory = directory_of(path);
  if (!directory) return directory.error();
  struct stat status{};
  if (::stat(directory->c_str(), &status) != 0) return last_error("control group " + path);
  return status.st_ino;
}

Result<std::string> cgroup_of(pid_t process) {
  const std::string name = "/proc/" + std::to_string(process) + "/cgroup";
  std::ifstream groups(name);
  if (!groups) return Error{"read " + name, ENOENT};
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::/")) return found(line.substr(4));
  }
  return Error{name + ": not in a control group of version 2", ENOENT};
}

Result<std::vector<pid_t>> cgroup_members(const std::string& path) {
  const auto directory = directory_of(path);
  if (!directory) return directory.error();
  std::ifstream file(*directory + "/cgroup.procs");
  if (!file) return Error{"read " + *directory + "/cgroup.procs", ENOENT};
  std::vector<pid_t> members;
  for (pid_t process = 0; file >> process;) members.push_back(process);
  return members;
}

Result<> make_cgroup(const std::string& path) {
  const auto directory = directory_of(path);
  if (!directory) return directory.error();
  constexpr mode_t kMode = 0755;
  if (::mkdir(directory->c_str(), kMode) != 0 && errno != EEXIST) {
    return last_error("make control group " + path);
  }
  return {};
}

Result<> enter_cgroup(const std::string& path, pid_t process) {
  const auto directory = directory_of(path);
  if (!directory) return directory.error();
  std::ofstream file(*directory + "/cgroup.procs");
  file << process << std::flush;
  if (!file) return last_error("enter control group " + path);
  return {};
}

Result<> remove_cgroup(const std::string& path) {
  const auto directory = directory_of(path);
  if (!directory) return directory.error();
  if (::rmdir(directory->c_str()) != 0 && errno != ENOENT) {
    return last_error("remove control group " + path);
  }
  return {};
}

}  // namespace hairpin::platform
