#include "platform/ip_statistics.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string>

namespace hairpin::platform {

namespace {

constexpr std::array<std::string_view, 7> kWrong4{
    "Ip.InHdrErrors", "Ip.InAddrErrors",  "Ip.ReasmFails",   "Icmp.InErrors",
    "Tcp.InErrs",     "Udp.InCsumErrors", "Tcp.InCsumErrors"};
constexpr std::array<std::string_view, 6> kWrong6{"Ip6InHdrErrors",   "Ip6InTruncatedPkts",
                                                  "Ip6InAddrErrors",  "Ip6ReasmFails",
                                                  "Udp6InCsumErrors", "Icmp6InErrors"};

std::string read_all(const Fd& file) {
  std::string text(16384, '\0');
  const ssize_t size = file ? ::pread(file.get(), text.data(), text.size(), 0) : 0;
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

/// Lines come in pairs: "Ip: Forwarding DefaultTTL …" and "Ip: 1 64 …".
std::uint64_t sum4(const std::string& text) {
  std::istringstream lines(text);
  std::string names;
  std::string values;
  std::uint64_t sum = 0;
  while (std::getline(lines, names) && std::getline(lines, values)) {
    std::istringstream name_words(names);
    std::istringstream value_words(values);
    std::string protocol;
    std::string name;
    std::string value;
    name_words >> protocol;
    value_words >> value;
    protocol.back() = '.';
    while (name_words >> name && value_words >> value) {
      const bool counts = std::ranges::find(kWrong4, protocol + name) != kWrong4.end();
      if (counts) sum += std::strtoull(value.c_str(), nullptr, 10);
    }
  }
  return sum;
}

/// One name and one value in each line.
std::uint64_t sum6(const std::string& text) {
  std::istringstream words(text);
  std::string name;
  std::uint64_t value = 0;
  std::uint64_t sum = 0;
  while (words >> name >> value) {
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
