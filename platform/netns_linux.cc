#include "platform/netns.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <string>
#include <thread>

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

Result<> enter_private_network_namespace() {
  if (::unshare(CLONE_NEWNET) != 0) return last_error("unshare(CLONE_NEWNET)");
  return {};
}

Result<Fd> current_network_namespace() {
  const char* path = "/proc/thread-self/ns/net";
  Fd space(::open(path, O_RDONLY | O_CLOEXEC));
  if (!space) return last_error(std::string("open ") + path);
  return space;
}

Result<Fd> open_network_namespace(const std::string& path_or_pid) {
  const bool number = !path_or_pid.empty() && std::ranges::all_of(path_or_pid, [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
  const std::string path = number ? "/proc/" + path_or_pid + "/ns/net" : path_or_pid;
  Fd space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!space && number && errno == ENOENT) return Error{"process " + path_or_pid, ESRCH};
  if (!space) return last_error("open network namespace " + path);
  if (::ioctl(space.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return Error{path + " is no network namespace", EINVAL};
  }
  return space;
}

bool same_network_namespace(const Fd& one, const Fd& other) {
  struct stat first{};
  struct stat second{};
  return ::fstat(one.get(), &first) == 0 && ::fstat(other.get(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Result<> enter_network_namespace(const Fd& space) {
  if (::setns(space.get(), CLONE_NEWNET) != 0) return last_error("setns(CLONE_NEWNET)");
  return {};
}

Result<> run_in_network_namespace(const Fd& space, const std::function<void()>& work) {
  Result<> entered;
  std::thread([&] {
    if (space) entered = enter_network_namespace(space);
    if (!entered) return;
    try {
      work();
    } catch (const std::exception& failure) {
      entered = Error{failure.what()};
    }
  }).join();
  return entered;
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
