// Not written: libproc tells a process's sockets, and would have to be asked for each process.
#include "platform/owner.h"

namespace hairpin::platform {

namespace {

Error not_here() {
  return Error{"who has a socket is not known on macOS", ENOSYS};
}

}  // namespace

Result<std::vector<Listener>> find_listeners(const Endpoint& /*to*/) {
  return not_here();
}
Result<SocketFinder> SocketFinder::open() {
  return not_here();
}
Result<SocketFinder::Found> SocketFinder::find(Transport /*protocol*/, const Endpoint& /*own*/,
                                               const Endpoint& /*other*/) {
  return not_here();
}
bool holds(pid_t /*process*/, std::uint64_t /*inode*/) {
  return false;
}
pid_t first_holder(std::uint64_t /*inode*/, std::uint32_t /*user*/) {
  return 0;
}
std::string executable_of(pid_t /*process*/) {
  return "";
}
std::string user_name(std::uint32_t /*user*/) {
  return "";
}
std::vector<Process> holders_of(std::uint64_t /*inode*/) {
  return {};
}

}  // namespace hairpin::platform
