#include "platform/utun.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/kern_control.h>
#include <sys/socket.h>
#include <sys/sockio.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "platform/unix_macos.h"
#include "platform/utun_frame.h"

namespace hairpin::platform {

namespace {

// Of net/if_utun.h and sys/sys_domain.h.
constexpr const char* kControlName = "com.apple.net.utun_control";
constexpr int kOptionName = 2;         // UTUN_OPT_IFNAME
constexpr int kProtocolControl = 2;    // SYSPROTO_CONTROL
constexpr unsigned short kSystem = 2;  // AF_SYS_CONTROL

// Of netinet6/in6_var.h.
struct Lifetimes {
  time_t expire;
  time_t preferred;
  std::uint32_t valid_seconds;
  std::uint32_t preferred_seconds;
};
struct Alias6 {  // in6_aliasreq
  char name[IFNAMSIZ];
  sockaddr_in6 address;
  sockaddr_in6 other_end;
  sockaddr_in6 mask;
  int flags;
  Lifetimes lifetimes;
};
constexpr unsigned long kAddAddress6 = _IOW('i', 26, Alias6);  // SIOCAIFADDR_IN6
constexpr int kNoDetection = 0x0020;                           // IN6_IFF_NODAD

struct Alias4 {  // ifaliasreq
  char name[IFNAMSIZ];
  sockaddr_in address;
  sockaddr_in other_end;
  sockaddr_in mask;
};
constexpr unsigned long kAddAddress4 = _IOW('i', 26, Alias4);  // SIOCAIFADDR

/// "utun7" is unit 8; 0 leaves the choice to the kernel.
Result<std::uint32_t> unit_of(const std::string& name) {
  constexpr std::string_view kPrefix = "utun";
  if (name.empty()) return std::uint32_t{0};
  const auto number = name.starts_with(kPrefix)
                          ? parse_number(std::string_view(name).substr(kPrefix.size()), 65534)
                          : std::nullopt;
  if (!number) {
    return Error{"interface " + name + ": on macOS its name is \"utun\" and a number", EINVAL};
  }
  return static_cast<std::uint32_t>(*number + 1);
}

void put_name(char (&into)[IFNAMSIZ], const std::string& name) {
  std::strncpy(into, name.c_str(), IFNAMSIZ - 1);
}

template <class Address>
Address socket_address(const IpAddr& address) {
  sockaddr_storage stored{};
  (void)Endpoint{address, 0}.to_sockaddr(stored);
  Address out{};
  std::memcpy(&out, &stored, sizeof out);
  // The kernel wants the length of what it is given by ioctl(2).
  reinterpret_cast<sockaddr&>(out).sa_len = sizeof out;
  return out;
}

IpAddr mask_of(const Prefix& prefix) {
  std::array<std::byte, 16> bytes{};
  for (unsigned bit = 0; bit < prefix.length; ++bit) {
    bytes[bit / 8] |= static_cast<std::byte>(0x80 >> bit % 8);
  }
  return IpAddr::from_wire(std::span(bytes).first(prefix.address.size()));
}

Result<> add_address(const std::string& name, const Prefix& prefix) {
  const bool v4 = prefix.address.is_v4();
  auto control = open_socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0, "socket");
  if (!control) return control.error();
  int done = 0;
  if (v4) {
    Alias4 alias{};
    put_name(alias.name, name);
    alias.address = alias.other_end = socket_address<sockaddr_in>(prefix.address);
    alias.mask = socket_address<sockaddr_in>(mask_of(prefix));
    done = ::ioctl(control->get(), kAddAddress4, &alias);
  } else {
    Alias6 alias{};
    put_name(alias.name, name);
    alias.address = socket_address<sockaddr_in6>(prefix.address);
    alias.mask = socket_address<sockaddr_in6>(mask_of(prefix));
    alias.flags = kNoDetection;
    alias.lifetimes.valid_seconds = alias.lifetimes.preferred_seconds = 0xffffffff;
    done = ::ioctl(control->get(), kAddAddress6, &alias);
  }
  if (done != 0 && errno != EEXIST) {
    return last_error("add address " + prefix.text() + " to " + name);
  }
  return {};
}

}  // namespace

Result<Utun> open_utun(const std::string& name) {
  const auto unit = unit_of(name);
  if (!unit) return unit.error();
  auto fd = open_socket(PF_SYSTEM, SOCK_DGRAM, kProtocolControl, "open control socket");
  if (!fd) return fd.error();
  ctl_info info{};
  std::strncpy(info.ctl_name, kControlName, sizeof info.ctl_name - 1);
  if (::ioctl(fd->get(), CTLIOCGINFO, &info) != 0) return last_error("find utun");
  sockaddr_ctl address{};
  address.sc_len = sizeof address;
  address.sc_family = AF_SYSTEM;
  address.ss_sysaddr = kSystem;
  address.sc_id = info.ctl_id;
  address.sc_unit = *unit;
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return last_error("make interface " + (name.empty() ? std::string("utun") : name));
  }
  std::array<char, IFNAMSIZ> given{};
  socklen_t size = given.size();
  if (::getsockopt(fd->get(), kProtocolControl, kOptionName, given.data(), &size) != 0) {
    return last_error("UTUN_OPT_IFNAME");
  }
  return Utun{given.data(), std::move(*fd)};
}

Result<std::size_t> read_packet(int utun, std::span<std::byte> into) {
  std::array<std::byte, kUtunPrefix> prefix;
  std::array<iovec, 2> parts{iovec{prefix.data(), prefix.size()}, iovec{into.data(), into.size()}};
  const ssize_t size = ::readv(utun, parts.data(), parts.size());
  if (size < 0) return last_error("read packet");
  if (static_cast<std::size_t>(size) <= kUtunPrefix) return std::size_t{0};
  const std::size_t length = static_cast<std::size_t>(size) - kUtunPrefix;
  return utun_prefix(into.first(length)) == prefix ? length : 0;
}

Result<> write_packet(int utun, std::span<const std::span<const std::byte>> pieces) {
  constexpr std::size_t kMaxPieces = 66;
  if (pieces.empty() || pieces.size() > kMaxPieces) return Error{"write packet", EINVAL};
  auto prefix = utun_prefix(pieces.front());
  if (!prefix) return Error{"write packet", EAFNOSUPPORT};
  std::array<iovec, kMaxPieces + 1> parts{iovec{prefix->data(), prefix->size()}};
  std::size_t used = 1;
  for (const auto piece : pieces) {
    parts[used++] = {const_cast<std::byte*>(piece.data()), piece.size()};
  }
  if (::writev(utun, parts.data(), static_cast<int>(used)) < 0) return last_error("write packet");
  return {};
}

Result<> configure_utun(const std::string& name, const std::vector<Prefix>& addresses,
                        unsigned mtu) {
  auto control = open_socket(AF_INET, SOCK_DGRAM, 0, "socket");
  if (!control) return control.error();
  ifreq request{};
  put_name(request.ifr_name, name);
  if (mtu != 0) {
    request.ifr_mtu = static_cast<int>(mtu);
    if (::ioctl(control->get(), SIOCSIFMTU, &request) != 0) return last_error("set MTU of " + name);
  }
  for (const Prefix& prefix : addresses) {
    if (auto added = add_address(name, prefix); !added) return added;
  }
  if (::ioctl(control->get(), SIOCGIFFLAGS, &request) != 0) return last_error("flags of " + name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
  if (::ioctl(control->get(), SIOCSIFFLAGS, &request) != 0) return last_error("bring up " + name);
  return {};
}

}  // namespace hairpin::platform
