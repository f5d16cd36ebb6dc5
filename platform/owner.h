// Who is behind a port of this host: sock_diag(7) and /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::platform {

/// A listening TCP socket.
struct Listener {
  Endpoint address;
  std::uint32_t user = 0;
  std::uint64_t inode = 0;  ///< Of the socket: another one is another listener.

  friend bool operator==(const Listener&, const Listener&) = default;
};

/// Those that a connection to `to` may meet. Of the network namespace of the calling thread.
Result<std::vector<Listener>> find_listeners(const Endpoint& to);

struct Process {
  pid_t number = 0;
  std::string name;  ///< /proc/PID/comm
};
/// All processes that hold a socket. Those that may not be looked into are not found.
std::vector<Process> holders_of(std::uint64_t inode);

}  // namespace hairpin::platform
