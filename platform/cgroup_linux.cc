#include "platform/cgroup.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <fstream>
#include <sstream>

#include "base/fd.h"

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
  const std::string what = "control group " + path;
  const auto directory = directory_of(path);
  if (!directory) return Error(directory.error()).in(what);
  struct ::stat status = {};
  if (::stat(directory->c_str(), &status) != 0) return last_error(what);
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

namespace {

Result<Fd> open_group(const std::string& path) {
  const auto directory = directory_of(path);
  if (!directory) return directory.error();
  Fd group(::open(directory->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!group) return last_error("open control group " + path);
  return group;
}

Result<Fd> load_marker(Mark mark) {
  std::array<bpf_insn, 4> program{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r2 = mark
  program[0].dst_reg = BPF_REG_2;
  program[0].imm = static_cast<std::int32_t>(mark.value());
  program[1].code = BPF_STX | BPF_MEM | BPF_W;  // r1->mark = r2
  program[1].dst_reg = BPF_REG_1;
  program[1].src_reg = BPF_REG_2;
  program[1].off = offsetof(bpf_sock, mark);
  program[2].code = BPF_ALU64 | BPF_MOV | BPF_K;  // return 1: go on
  program[2].dst_reg = BPF_REG_0;
  program[2].imm = 1;
  program[3].code = BPF_JMP | BPF_EXIT;
  constexpr std::string_view kLicense = "MIT";
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_SOCK;
  load.expected_attach_type = BPF_CGROUP_INET_SOCK_CREATE;
  load.insns = reinterpret_cast<std::uintptr_t>(program.data());
  load.insn_cnt = program.size();
  load.license = reinterpret_cast<std::uintptr_t>(kLicense.data());
  Fd loaded(static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load)));
  if (!loaded) return last_error("load a BPF program that marks sockets");
  return loaded;
}

}  // namespace

Result<Fd> mark_sockets_of(const std::string& path, Mark mark) {
  const auto group = open_group(path);
  if (!group) return group.error();
  const auto program = load_marker(mark);
  if (!program) return program.error();
  bpf_attr create{};
  create.link_create.prog_fd = static_cast<std::uint32_t>(program->get());
  create.link_create.target_fd = static_cast<std::uint32_t>(group->get());
  create.link_create.attach_type = BPF_CGROUP_INET_SOCK_CREATE;
  Fd link(static_cast<int>(::syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof create)));
  if (!link) return last_error("attach a BPF program to control group " + path);
  return link;
}

Result<> mark_sockets_for_good(const std::string& path, Mark mark) {
  const auto group = open_group(path);
  if (!group) return group.error();
  const auto program = load_marker(mark);
  if (!program) return program.error();
  bpf_attr attach{};
  attach.target_fd = static_cast<std::uint32_t>(group->get());
  attach.attach_bpf_fd = static_cast<std::uint32_t>(program->get());
  attach.attach_type = BPF_CGROUP_INET_SOCK_CREATE;
  if (::syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) != 0) {
    return last_error("attach a BPF program to control group " + path);
  }
  return {};
}

}  // namespace hairpin::platform
