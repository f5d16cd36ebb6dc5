// How it works
//
//   parent (the caller's namespace)              child (a namespace of its own)
//   -------------------------------              ------------------------------
//   fork ─────────────────────────────────────►  unshare, lo up
//                                                the link (stack/link.h)
//   receive the descriptors  ◄─────────────────  send the descriptors
//   workers serve the flows                      default routes, resolv.conf
//   "go" ─────────────────────────────────────►  execvp(CMD)
//   wait; pass signals on; exit as CMD did
//
// The parent never enters the namespace, so its outbound sockets cannot be captured. It needs no
// privilege there either: what it got from the child is all it uses.
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "app/commands.h"
#include "app/diagnose.h"
#include "app/engine.h"
#include "app/resolv.h"
#include "base/log.h"
#include "platform/interface.h"
#include "platform/netns.h"
#include "platform/privileges.h"
#include "platform/sockets.h"
#include "stack/handover.h"
#include "stack/listeners.h"

namespace hairpin::app {

namespace {

constexpr int kExitSignal = 128;

constexpr const char* kResolvConf = "/etc/resolv.conf";
/// Where systemd-resolved writes the servers that it asks itself.
constexpr const char* kResolvedUpstreams = "/run/systemd/resolve/resolv.conf";

std::string read_file(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Gives the command a resolv.conf whose servers it can reach. What cannot be helped is told, and
/// the command runs all the same: it may not need names.
void settle_name_servers(const std::vector<IpAddr>& wanted) {
  const std::string current = read_file(kResolvConf);
  std::vector<IpAddr> servers = wanted;
  if (servers.empty()) {
    if (!all_loopback(name_servers(current))) return;
    servers = name_servers(read_file(kResolvedUpstreams));
    if (servers.empty() || all_loopback(servers)) {
      log::warn("{} names only loopback servers, which the command cannot reach; give --dns",
                kResolvConf);
      return;
    }
  }
  std::string path = "/tmp/hairpin-resolv-XXXXXX";
  const Fd file(::mkostemp(path.data(), O_CLOEXEC));
  const std::string text = with_name_servers(current, servers);
  if (!file || ::write(file.get(), text.data(), text.size()) < 0 ||
      ::fchmod(file.get(), 0644) != 0) {
    log::warn("{}", last_error("write " + path).text());
    return;
  }
  // The mount holds the file; its name in /tmp is needed no longer.
  if (auto mounted = platform::bind_mount_privately(path, kResolvConf); !mounted) {
    log::warn("{}; the command keeps the system's name servers", mounted.error().text());
  }
  ::unlink(path.c_str());
}

Result<stack::Link> set_up_namespace(const config::Config& config, unsigned workers) {
  if (auto entered = platform::enter_new_network_namespace(); !entered) return entered.error();
  if (auto up = platform::bring_up_loopback(); !up) return up.error();
  auto link = stack::open_link({config.inbounds.front(), workers, Mark{}, -1});
  if (!link) return link;
  const auto index = platform::interface_index(link->name);
  if (!index) return index.error();
  for (const Family family : {Family::v4, Family::v6}) {
    if (!stack::has_family(link->addresses, family)) continue;
    platform::Route route{everything(family), *index, platform::kMainTable};
    // Pacing packets that do not leave this host only costs (platform/congestion.h). EINVAL:
    // the kernel has no such congestion control.
    route.congestion = "cubic";
    auto routed = platform::add_route(route);
    if (!routed && routed.error().code == EINVAL) {
      route.congestion.clear();
      routed = platform::add_route(route);
    }
    if (!routed) return routed.error();
  }
  return link;
}

[[noreturn]] void run_child(const config::Config& config, const ExecOptions& options,
                            unsigned workers, Fd socket, const sigset_t& mask) {
  {
    const auto link = set_up_namespace(config, workers);
    if (!stack::send_link(socket.get(), link) || !link) ::_exit(kExitFailure);
    // The descriptors here close with this block: the parent has its own.
  }
  settle_name_servers(options.dns);
  char go = 0;
  if (::read(socket.get(), &go, 1) != 1) ::_exit(kExitFailure);  // the parent is gone

  std::vector<char*> words;
  for (const std::string& word : options.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(words[0], words.data());
  const int code = errno;
  std::fprintf(stderr, "hairpin: %s: %s\n", words[0], std::strerror(code));
  ::_exit(code == ENOENT ? kExitNotFound : kExitCannotRun);
}

int exit_status(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitSignal + WTERMSIG(status);
}

/// Waits for the child. Signals that somebody sends us are meant for it; those that come from the
/// terminal have reached it already, because it is in the same process group.
int wait_and_forward(pid_t child, const sigset_t& signals) {
  for (;;) {
    siginfo_t info{};
    const int number = ::sigwaitinfo(&signals, &info);
    if (number < 0) continue;
    if (number == SIGCHLD) {
      int status = 0;
      const pid_t ended = ::waitpid(child, &status, WNOHANG);
      if (ended == child) return exit_status(status);
      if (ended < 0 && errno == ECHILD) return kExitFailure;  // somebody else has taken its status
    } else if (info.si_code != SI_KERNEL) {
      ::kill(child, number);
    }
  }
}

}  // namespace

int exec(const config::Config& config, const ExecOptions& options) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&signals, number);
  }
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  // A caller that ignores SIGCHLD hands that down: then no status would ever be told.
  std::signal(SIGCHLD, SIG_DFL);

  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    std::fprintf(stderr, "hairpin: %s\n", last_error("socketpair").text().c_str());
    return kExitFailure;
  }
  Fd ours(ends[0]);
  Fd theirs(ends[1]);
  // The kernel hands over at most 253 descriptors at once: six for each worker fit.
  const unsigned workers = std::min(default_workers(), 32U);
  const pid_t child = ::fork();
  if (child < 0) {
    std::fprintf(stderr, "hairpin: %s\n", last_error("fork").text().c_str());
    return kExitFailure;
  }
  if (child == 0) {
    ours.reset();
    run_child(config, options, workers, std::move(theirs), before);
  }
  theirs.reset();

  // After the fork: the command keeps the limit that the caller has.
  (void)platform::raise_descriptor_limit();
  auto link = stack::receive_link(ours.get());
  if (!link) {
    int status = 0;
    ::waitpid(child, &status, 0);
    const Diagnosis diagnosis = diagnose(link.error());
    std::fprintf(stderr, "hairpin: %s\n", diagnosis.text.c_str());
    return diagnosis.status;
  }
  log::info("up: {}, {} workers", stack::describe(*link), workers);
  if (auto dropped = platform::drop_system_administration(); !dropped) {
    log::warn("{}", dropped.error().text());
  }
  std::vector<stack::Link> links;
  links.push_back(std::move(*link));
  // A command that removes its own way out has lost it; it runs on all the same. When it ends, its
  // namespace ends.
  std::atomic<bool> ended = false;
  Engine engine(config, std::move(links), workers, false, [&ended] {
    if (!ended) log::warn("the command has removed its interface");
  });
  engine.start();
  const char go = 1;
  if (::write(ours.get(), &go, 1) != 1) log::error("{}", last_error("start the command").text());
  const int status = wait_and_forward(child, signals);
  ended = true;
  engine.drain();
  log::debug("counters: {}", engine.counters());
  return status;
}

}  // namespace hairpin::app
