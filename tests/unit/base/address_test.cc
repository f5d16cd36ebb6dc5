#include "base/address.h"

#include <gtest/gtest.h>

#include <boost/asio/ip/address.hpp>

namespace hairpin {
namespace {

TEST(IpAddr, ParsesAndPrints) {
  for (const char* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1",
                           "fe80::1", "::ffff:192.0.2.1"}) {
    const auto address = IpAddr::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
  }
  for (const char* text :
       {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.0.0.1", "1.2.3.4 ", ":::", "fe80::1%eth0",
        "2001:db8::1::2", "host", "1111111111111111111111111111111111111111111111111"}) {
    EXPECT_FALSE(IpAddr::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddr::parse(std::string_view("1.2.3.4\0", 8)));
}

struct Kind {
  const char* text;
  bool multicast, link_local, loopback, unspecified, is_private;
};

TEST(IpAddr, Kinds) {
  for (const Kind& kind : {Kind{"0.0.0.0", false, false, false, true, false},
                           {"127.0.0.1", false, false, true, false, true},
                           {"224.0.0.1", true, false, false, false, false},
                           {"239.255.255.255", true, false, false, false, false},
                           {"255.255.255.255", true, false, false, false, false},
                           {"240.0.0.1", false, false, false, false, false},
                           {"169.254.1.1", false, true, false, false, true},
                           {"10.255.0.1", false, false, false, false, true},
                           {"172.31.0.1", false, false, false, false, true},
                           {"172.32.0.1", false, false, false, false, false},
                           {"192.168.1.1", false, false, false, false, true},
                           {"100.64.0.1", false, false, false, false, true},
                           {"100.128.0.1", false, false, false, false, false},
                           {"8.8.8.8", false, false, false, false, false},
                           {"::", false, false, false, true, false},
                           {"::1", false, false, true, false, true},
                           {"ff02::1", true, false, false, false, false},
                           {"fe80::1", false, true, false, false, true},
                           {"febf::1", false, true, false, false, true},
                           {"fec0::1", false, false, false, false, false},
                           {"fd00::1", false, false, false, false, true},
                           {"2001:db8::1", false, false, false, false, false}}) {
    const IpAddr address = *IpAddr::parse(kind.text);
    EXPECT_EQ(address.is_multicast(), kind.multicast) << kind.text;
    EXPECT_EQ(address.is_link_local(), kind.link_local) << kind.text;
    EXPECT_EQ(address.is_loopback(), kind.loopback) << kind.text;
    EXPECT_EQ(address.is_unspecified(), kind.unspecified) << kind.text;
    EXPECT_EQ(address.is_private(), kind.is_private) << kind.text;
  }
}

TEST(IpAddr, Unmapped) {
  EXPECT_EQ(IpAddr::parse("::ffff:192.0.2.1")->unmapped().text(), "192.0.2.1");
  EXPECT_EQ(IpAddr::parse("::fffe:192.0.2.1")->unmapped().text(), "::fffe:c000:201");
  EXPECT_EQ(IpAddr::parse("192.0.2.1")->unmapped().text(), "192.0.2.1");
}

TEST(Prefix, ParsesAndContains) {
  const auto prefix = *Prefix::parse("192.0.2.130/25");
  EXPECT_EQ(prefix.text(), "192.0.2.130/25");
  EXPECT_TRUE(prefix.contains(*IpAddr::parse("192.0.2.128")));
  EXPECT_TRUE(prefix.contains(*IpAddr::parse("192.0.2.255")));
  EXPECT_FALSE(prefix.contains(*IpAddr::parse("192.0.2.127")));
  EXPECT_FALSE(prefix.contains(*IpAddr::parse("::1")));
  EXPECT_EQ(Prefix::parse("192.0.2.1")->length, 32U);
  EXPECT_EQ(Prefix::parse("::1")->length, 128U);
  EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->contains(*IpAddr::parse("203.0.113.1")));
  EXPECT_TRUE(Prefix::parse("2001:db8::/33")->contains(*IpAddr::parse("2001:db8:7fff::1")));
  EXPECT_FALSE(Prefix::parse("2001:db8::/33")->contains(*IpAddr::parse("2001:db8:8000::1")));
  for (const char* text : {"192.0.2.1/33", "::/129", "192.0.2.1/", "/24", "192.0.2.1/-1",
                           "192.0.2.1/ 8", "192.0.2.1/8/8"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(Endpoint, ParsesPrintsAndConverts) {
  for (const char* text : {"192.0.2.1:80", "[2001:db8::1]:65535", "0.0.0.0:0"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(endpoint->text(), text);
    sockaddr_storage address{};
    endpoint->to_sockaddr(address);
    EXPECT_EQ(Endpoint::from_sockaddr(address), *endpoint);
  }
  for (const char* text :
       {"192.0.2.1", "192.0.2.1:65536", "2001:db8::1:80", "[192.0.2.1]:80", ":80", "[::1]"}) {
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  }
  sockaddr_storage address{};
  Endpoint{*IpAddr::parse("::ffff:192.0.2.1"), 80}.to_sockaddr(address);
  EXPECT_EQ(Endpoint::from_sockaddr(address).text(), "192.0.2.1:80");
}

}  // namespace
}  // namespace hairpin
