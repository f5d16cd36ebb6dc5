// Control groups, version 2 (cgroups(7)): where processes are, and what the kernel calls it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::platform {

/// Where the hierarchy is mounted. ENOENT: nowhere.
Result<std::string> cgroup_root();

/// The inode of a group's directory: what the kernel knows it by. `path` is below the root.
Result<std::uint64_t> cgroup_id(const std::string& path);

/// The group of a process, below the root; empty for the root itself.
Result<std::string> cgroup_of(pid_t process);

/// All processes of a group, not of those below it.
Result<std::vector<pid_t>> cgroup_members(const std::string& path);

/// Makes a group, unless it is there.
Result<> make_cgroup(const std::string& path);
/// Moves a process, with all its threads.
Result<> enter_cgroup(const std::string& path, pid_t process);
/// Removes a group that is empty. One that is not there is no error.
Result<> remove_cgroup(const std::string& path);

/// From now on every socket that a process of the group makes has `mark` from the start (SO_MARK):
/// by a program of four instructions, which the kernel runs when a socket is made
/// (BPF_CGROUP_INET_SOCK_CREATE). As long as the descriptor is open (Linux 5.7).
Result<Fd> mark_sockets_of(const std::string& path, Mark mark);
/// The same as long as the group exists, in place of any mark before. For a group of our own.
Result<> mark_sockets_for_good(const std::string& path, Mark mark);

}  // namespace hairpin::platform
