// Who is behind a port of this host: sock_diag(7) and /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

namespace hairpin::platform {

/// Numbers of the Internet Protocol.
enum class Transport : std::uint8_t { tcp = 6, udp = 17 };

/// A listening TCP socket.
struct Listener {
  Endpoint address;
  std::uint32_t user = 0;
  std::uint64_t inode = 0;  ///< Of the socket: another one is another listener.

  friend bool operator==(const Listener&, const Listener&) = default;
};

/// Those that a connection to `to` may meet. Of the network namespace of the calling thread.
Result<std::vector<Listener>> find_listeners(const Endpoint& to);

/// Asks for single sockets, in the network namespace in which it was opened. For one thread at a
/// time.
class SocketFinder {
 public:
  static Result<SocketFinder> open();

  struct Found {
    std::uint64_t inode = 0;
    std::uint32_t user = 0;
  };
  /// The socket with these ends. ENOENT: none is of this host.
  Result<Found> find(Transport protocol, const Endpoint& own, const Endpoint& other);

 private:
  explicit SocketFinder(Fd socket) : socket_(std::move(socket)) {}
  Fd socket_;
};

/// Whether a process holds a socket.
bool holds(pid_t process, std::uint64_t inode);
/// The first process that does, of those of `user`; 0: none that may be looked into.
pid_t first_holder(std::uint64_t inode, std::uint32_t user);
/// The path of a process's executable; empty: it is gone, or may not be looked into.
std::string executable_of(pid_t process);
/// The name of a user; empty: it has none.
std::string user_name(std::uint32_t user);

struct Process {
  pid_t number = 0;
  std::string name;  ///< /proc/PID/comm
};
/// All processes that hold a socket. Those that may not be looked into are not found.
std::vector<Process> holders_of(std::uint64_t inode);

}  // namespace hairpin::platform
