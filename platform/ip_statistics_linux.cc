#include "platform/ip_statistics.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>

namespace hairpin::platform {

namespace {

// Tcp.InErrs holds Tcp.InCsumErrors; Icmp.InErrors counts well-formed errors about unknown sockets.
constexpr std::array<std::string_view, 6> kWrong4{"Ip.InHdrErrors", "Ip.InAddrErrors",
                                                  "Ip.ReasmFails",  "Icmp.InCsumErrors",
                                                  "Tcp.InErrs",     "Udp.InCsumErrors"};
constexpr std::array<std::string_view, 6> kWrong6{"Ip6InHdrErrors",   "Ip6InTruncatedPkts",
                                                  "Ip6InAddrErrors",  "Ip6ReasmFails",
                                                  "Udp6InCsumErrors", "Icmp6InCsumErrors"};

std::string read_all(const Fd& file) {
  std::string text(16384, '\0');
  const ssize_t size = file ? ::pread(file.get(), text.data(), text.size(), 0) : 0;
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

/// Takes the part before the first of `delimiters` off the text, and what of them follows. Plain
/// scanning: this is read when descriptors are short, and streams bring locales with them.
std::string_view take(std::string_view& text, std::string_view delimiters) {
  const std::size_t end = std::min(text.find_first_of(delimiters), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(text.find_first_not_of(delimiters, end), text.size()));
  return part;
}

std::uint64_t number(std::string_view digits) {
  std::uint64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

/// Lines come in pairs: "Ip: Forwarding DefaultTTL …" and "Ip: 1 64 …".
std::uint64_t sum4(std::string_view text) {
  std::uint64_t sum = 0;
  while (!text.empty()) {
    std::string_view names = take(text, "\n");
    std::string_view values = take(text, "\n");
    const std::string protocol(take(names, ": "));
    take(values, ": ");
    while (!names.empty() && !values.empty()) {
      const std::string name = protocol + "." + std::string(take(names, " "));
      const std::uint64_t value = number(take(values, " "));
      if (std::ranges::find(kWrong4, name) != kWrong4.end()) sum += value;
    }
  }
  return sum;
}

/// One name and one value in each line.
std::uint64_t sum6(std::string_view text) {
  std::uint64_t sum = 0;
  while (!text.empty()) {
    const std::string_view name = take(text, " \t");
    const std::uint64_t value = number(take(text, "\n"));
    if (std::ranges::find(kWrong6, name) != kWrong6.end()) sum += value;
  }
  return sum;
}

}  // namespace

Result<IpStatistics> IpStatistics::open() {
  const char* path = "/proc/thread-self/net/snmp";
  Fd ip4(::open(path, O_RDONLY | O_CLOEXEC));
  if (!ip4) return last_error(std::string("open ") + path);
  // Not there where the kernel has no IPv6.
  Fd ip6(::open("/proc/thread-self/net/snmp6", O_RDONLY | O_CLOEXEC));
  return IpStatistics(std::move(ip4), std::move(ip6));
}

std::uint64_t IpStatistics::malformed() const {
  return sum4(read_all(ip4_)) + sum6(read_all(ip6_));
}

}  // namespace hairpin::platform
