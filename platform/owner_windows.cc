// Windows tells the process at once: the number that stands for a socket here is that of its
// process. Users are not known by number.
#include "platform/owner.h"

#include <array>

#include "platform/adapters_windows.h"
#include "platform/winsock_windows.h"

namespace hairpin::platform {

namespace {

constexpr std::uint32_t kNobody = ~0U;

std::uint16_t port_of(DWORD stored) {
  return ntohs(static_cast<std::uint16_t>(stored));
}

template <class T>
IpAddr address_from(const T& stored) {
  return IpAddr::from_wire(std::as_bytes(std::span(&stored, 1)));
}

/// GetExtendedTcpTable and GetExtendedUdpTable, however long the answer is.
template <class Call>
Result<std::vector<std::uint64_t>> table(Call call, const char* what) {
  ULONG size = 65536;
  for (;;) {
    std::vector<std::uint64_t> memory(size / sizeof(std::uint64_t) + 1);
    size = static_cast<ULONG>(memory.size() * sizeof(std::uint64_t));
    const DWORD code = call(memory.data(), &size);
    if (code == NO_ERROR) return memory;
    if (code != ERROR_INSUFFICIENT_BUFFER) return Error{what, errno_of(code)};
  }
}

template <class Table>
auto rows(const std::vector<std::uint64_t>& memory) {
  const auto* found = reinterpret_cast<const Table*>(memory.data());
  return std::span(found->table, found->dwNumEntries);
}

Result<std::vector<std::uint64_t>> tcp_table(ULONG family, TCP_TABLE_CLASS what) {
  return table(
      [&](void* into, ULONG* size) {
        return ::GetExtendedTcpTable(into, size, FALSE, family, what, 0);
      },
      "GetExtendedTcpTable");
}

Result<std::vector<std::uint64_t>> udp_table(ULONG family) {
  return table(
      [&](void* into, ULONG* size) {
        return ::GetExtendedUdpTable(into, size, FALSE, family, UDP_TABLE_OWNER_PID, 0);
      },
      "GetExtendedUdpTable");
}

using Found = SocketFinder::Found;

Result<Found> find_tcp4(const Endpoint& own, const Endpoint& other) {
  const auto memory = tcp_table(AF_INET, TCP_TABLE_OWNER_PID_ALL);
  if (!memory) return memory.error();
  for (const auto& row : rows<MIB_TCPTABLE_OWNER_PID>(*memory)) {
    if (port_of(row.dwLocalPort) == own.port && port_of(row.dwRemotePort) == other.port &&
        address_from(row.dwLocalAddr) == own.address &&
        address_from(row.dwRemoteAddr) == other.address) {
      return Found{row.dwOwningPid, kNobody};
    }
  }
  return Error{"find the socket", ENOENT};
}

Result<Found> find_tcp6(const Endpoint& own, const Endpoint& other) {
  const auto memory = tcp_table(AF_INET6, TCP_TABLE_OWNER_PID_ALL);
  if (!memory) return memory.error();
  for (const auto& row : rows<MIB_TCP6TABLE_OWNER_PID>(*memory)) {
    if (port_of(row.dwLocalPort) == own.port && port_of(row.dwRemotePort) == other.port &&
        address_from(row.ucLocalAddr) == own.address &&
        address_from(row.ucRemoteAddr) == other.address) {
      return Found{row.dwOwningPid, kNobody};
    }
  }
  return Error{"find the socket", ENOENT};
}

/// A socket that is bound to no address has all.
bool serves(const IpAddr& bound, const IpAddr& address) {
  return bound == address || bound.is_unspecified();
}

Result<Found> find_udp4(const Endpoint& own) {
  const auto memory = udp_table(AF_INET);
  if (!memory) return memory.error();
  for (const auto& row : rows<MIB_UDPTABLE_OWNER_PID>(*memory)) {
    if (port_of(row.dwLocalPort) == own.port &&
        serves(address_from(row.dwLocalAddr), own.address)) {
      return Found{row.dwOwningPid, kNobody};
    }
  }
  return Error{"find the socket", ENOENT};
}

Result<Found> find_udp6(const Endpoint& own) {
  const auto memory = udp_table(AF_INET6);
  if (!memory) return memory.error();
  for (const auto& row : rows<MIB_UDP6TABLE_OWNER_PID>(*memory)) {
    if (port_of(row.dwLocalPort) == own.port &&
        serves(address_from(row.ucLocalAddr), own.address)) {
      return Found{row.dwOwningPid, kNobody};
    }
  }
  return Error{"find the socket", ENOENT};
}

}  // namespace

Result<std::vector<Listener>> find_listeners(const Endpoint& to) {
  std::vector<Listener> found;
  const auto memory = tcp_table(AF_INET, TCP_TABLE_OWNER_PID_LISTENER);
  if (!memory) return memory.error();
  for (const auto& row : rows<MIB_TCPTABLE_OWNER_PID>(*memory)) {
    const Endpoint at{address_from(row.dwLocalAddr), port_of(row.dwLocalPort)};
    if (at.port == to.port && serves(at.address, to.address)) {
      found.push_back({at, kNobody, row.dwOwningPid});
    }
  }
  const auto memory6 = tcp_table(AF_INET6, TCP_TABLE_OWNER_PID_LISTENER);
  if (!memory6) return memory6.error();
  for (const auto& row : rows<MIB_TCP6TABLE_OWNER_PID>(*memory6)) {
    const Endpoint at{address_from(row.ucLocalAddr), port_of(row.dwLocalPort)};
    if (at.port == to.port && serves(at.address, to.address)) {
      found.push_back({at, kNobody, row.dwOwningPid});
    }
  }
  return found;
}

Result<SocketFinder> SocketFinder::open() {
  return SocketFinder(Fd());
}

Result<SocketFinder::Found> SocketFinder::find(Transport protocol, const Endpoint& own,
                                               const Endpoint& other) {
  if (protocol == Transport::udp) return own.address.is_v4() ? find_udp4(own) : find_udp6(own);
  return own.address.is_v4() ? find_tcp4(own, other) : find_tcp6(own, other);
}

bool holds(pid_t process, std::uint64_t inode) {
  return static_cast<std::uint64_t>(process) == inode;
}

pid_t first_holder(std::uint64_t inode, std::uint32_t /*user*/) {
  return static_cast<pid_t>(inode);
}

std::string executable_of(pid_t process) {
  const HANDLE handle =
      ::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, static_cast<DWORD>(process));
  if (handle == nullptr) return "";
  std::array<wchar_t, 32768> path{};
  DWORD size = path.size();
  const BOOL known = ::QueryFullProcessImageNameW(handle, 0, path.data(), &size);
  ::CloseHandle(handle);
  return known ? narrow(path.data()) : "";
}

std::string user_name(std::uint32_t /*user*/) {
  return "";
}

std::vector<Process> holders_of(std::uint64_t inode) {
  const auto number = static_cast<pid_t>(inode);
  const std::string path = executable_of(number);
  return {{number, path.substr(path.rfind('\\') + 1)}};
}

}  // namespace hairpin::platform
