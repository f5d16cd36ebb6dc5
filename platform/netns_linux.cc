#include "platform/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

namespace hairpin::platform {

namespace {

Result<> write_file(const std::string& path, const std::string& text) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) < 0) {
    return last_error("write " + path);
  }
  return {};
}

}  // namespace

Result<> enter_new_network_namespace() {
  if (::unshare(CLONE_NEWNET) == 0) return {};
  if (errno != EPERM) return last_error("unshare(CLONE_NEWNET)");
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return last_error("unshare(CLONE_NEWUSER|CLONE_NEWNET)");
  }
  // user_namespaces(7): an unprivileged process may map its own ids only, and the group map only
  // after giving up setgroups(2).
  if (auto written = write_file("/proc/self/setgroups", "deny"); !written) return written;
  const auto identity = [](auto id) {
    return std::to_string(id) + " " + std::to_string(id) + " 1";
  };
  if (auto written = write_file("/proc/self/uid_map", identity(uid)); !written) return written;
  return write_file("/proc/self/gid_map", identity(gid));
}

Result<> bind_mount_privately(const std::string& source, const std::string& target) {
  if (::unshare(CLONE_NEWNS) != 0) return last_error("unshare(CLONE_NEWNS)");
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return last_error("make mounts private");
  }
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return last_error("mount over " + target);
  }
  return {};
}

}  // namespace hairpin::platform
