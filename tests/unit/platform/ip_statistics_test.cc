// What is counted as malformed, from the text that the kernel writes.
#include "platform/ip_statistics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace hairpin::platform {
namespace {

Fd file_with(const std::string& text) {
  std::string name = "/tmp/hairpin-test-XXXXXX";
  Fd file(::mkstemp(name.data()));
  ::unlink(name.c_str());
  EXPECT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return file;
}

TEST(IpStatistics, AddsWhatIsWrongAndNothingElse) {
  const IpStatistics statistics(file_with("Ip: Forwarding InReceives InHdrErrors InAddrErrors\n"
                                          "Ip: 2 1000 1 10\n"
                                          "Tcp: RtoAlgorithm MaxConn InErrs\n"
                                          "Tcp: 1 -1 100\n"
                                          "Udp: InErrors InCsumErrors\n"
                                          "Udp: 2000 1000\n"
                                          "UdpLite: InErrors InCsumErrors\n"
                                          "UdpLite: 5 5\n"),
                                file_with("Ip6InReceives                   \t3\n"
                                          "Ip6InHdrErrors                  \t10000\n"
                                          "Udp6InCsumErrors                \t100000\n"));
  EXPECT_EQ(statistics.malformed(), 111111U);
}

TEST(IpStatistics, TakesWhateverIsThere) {
  EXPECT_EQ(IpStatistics().malformed(), 0U);
  for (const char* text : {"", "\n", "Ip:", "Ip: InHdrErrors", "Ip: InHdrErrors\nIp:", ":\n:\n"}) {
    EXPECT_EQ(IpStatistics(file_with(text), file_with(text)).malformed(), 0U) << text;
  }
  EXPECT_EQ(IpStatistics(file_with("Ip: InHdrErrors\nIp: 7"), Fd()).malformed(), 7U);
}

TEST(IpStatistics, ReadsThisKernel) {
  const auto statistics = IpStatistics::open();
  ASSERT_TRUE(statistics) << statistics.error().text();
  EXPECT_TRUE(statistics->ip4());
  (void)statistics->malformed();
}

}  // namespace
}  // namespace hairpin::platform
