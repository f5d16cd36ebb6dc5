#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <string_view>

#include "base/fd.h"
#include "platform/congestion.h"

namespace hairpin::platform {

namespace {

constexpr std::string_view kNotPacing = "cubic";

bool set(int socket, std::string_view name) {
  return ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                      static_cast<socklen_t>(name.size())) == 0;
}

}  // namespace

Congestion Congestion::of_system() {
  const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  std::array<char, 16> name{};  // TCP_CA_NAME_MAX, with its 0
  socklen_t size = name.size();
  if (!probe || ::getsockopt(probe.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) != 0) {
    return {};
  }
  name.back() = '\0';
  const std::string system(name.data());
  const bool choice = system.starts_with("bbr") && set(probe.get(), kNotPacing);
  return choice ? Congestion(system) : Congestion();
}

void Congestion::begin(int socket) const {
  if (!far_.empty()) set(socket, kNotPacing);
}

void Congestion::settle(int socket) const {
  if (far_.empty()) return;
  tcp_info info{};
  socklen_t size = sizeof info;
  // Without a sample (the SYN was sent twice) the path is not one of those that are near.
  const bool near = ::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                    info.tcpi_rtt > 0 && info.tcpi_rtt <= kNear.count();
  if (!near) set(socket, far_);
}

}  // namespace hairpin::platform
