// What is said to macOS, byte by byte; the expected bytes are written down from Darwin's headers
// and from what its route(8) sends, not made by the code that is tested.
#include <gtest/gtest.h>

#include "platform/route_message.h"
#include "platform/utun_frame.h"

namespace hairpin::platform {
namespace {

using Bytes = std::vector<std::byte>;

/// "00 1c 5*00": bytes in hexadecimal, with repetitions.
Bytes hex(std::string_view text) {
  Bytes out;
  std::size_t times = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
      continue;
    }
    const std::size_t star = text.find('*', i);
    const std::size_t blank = text.find(' ', i);
    if (star != std::string_view::npos && (blank == std::string_view::npos || star < blank)) {
      times = std::stoul(std::string(text.substr(i, star - i)));
      i = star + 1;
    } else {
      times = 1;
    }
    const auto value =
        static_cast<std::byte>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
    out.insert(out.end(), times, value);
    i += 2;
  }
  return out;
}

IpAddr ip(const char* text) {
  return *IpAddr::parse(text);
}

TEST(Utun, FramesSayWhoseThePacketIs) {
  const auto v4 = hex("45 00 00 14 16*00");
  const auto v6 = hex("60 00 00 00 36*00");
  const auto p4 = utun_prefix(v4);
  const auto p6 = utun_prefix(v6);
  ASSERT_TRUE(p4 && p6);
  EXPECT_EQ(Bytes(p4->begin(), p4->end()), hex("00 00 00 02"));
  EXPECT_EQ(Bytes(p6->begin(), p6->end()), hex("00 00 00 1e"));
  EXPECT_FALSE(utun_prefix({}));
  EXPECT_FALSE(utun_prefix(hex("50 00")));

  Bytes frame = hex("00 00 00 1e 60 39*00");
  EXPECT_EQ(utun_packet(frame).size(), 40U);
  EXPECT_EQ(utun_packet(frame).data(), frame.data() + 4);
  for (const char* wrong :
       {"", "00 00 00 02", "00 00 00", "00 00 00 02 60 39*00", "00 00 00 1e 45 19*00",
        "00 00 01 02 45 19*00", "02 00 00 00 45 19*00"}) {
    Bytes bytes = hex(wrong);
    EXPECT_TRUE(utun_packet(bytes).empty()) << wrong;
  }
}

TEST(RouteMessage, ARouteByAnInterface) {
  darwin::RouteRequest request;
  request.destination = {ip("203.0.113.77"), 25};
  request.gateway = IfIndex{15};
  request.sequence = 258;
  EXPECT_EQ(darwin::encode(request),
            hex("90 00 05 01  00 00 00 00  01 08 00 00  07 00 00 00  4*00  02 01 00 00  68*00"
                "10 02 00 00 cb 00 71 00 8*00"
                "14 12 0f 00 16*00"
                "10 02 00 00 ff ff ff 80 8*00"));
}

TEST(RouteMessage, AHostByAGatewayWithinAScope) {
  darwin::RouteRequest request;
  request.verb = darwin::RouteVerb::remove;
  request.destination = {ip("192.0.2.1"), 32};
  request.gateway = ip("198.51.100.1");
  request.scope = IfIndex{4};
  EXPECT_EQ(darwin::encode(request), hex("7c 00 05 02  04 00 00 00  07 08 00 01  03 00 00 00  76*00"
                                         "10 02 00 00 c0 00 02 01 8*00"
                                         "10 02 00 00 c6 33 64 01 8*00"));
}

TEST(RouteMessage, HalfOfIpv6) {
  darwin::RouteRequest request;
  request.destination = {ip("8000::"), 1};
  request.gateway = IfIndex{300};
  EXPECT_EQ(darwin::encode(request), hex("a8 00 05 01  00 00 00 00  01 08 00 00  07 00 00 00  76*00"
                                         "1c 1e 00 00 4*00 80 15*00 4*00"
                                         "14 12 2c 01 16*00"
                                         "1c 1e 00 00 4*00 80 15*00 4*00"));
}

TEST(RouteMessage, WhatIsAskedForComesBack) {
  for (const char* destination : {"0.0.0.0/0", "10.0.0.0/8", "203.0.113.128/25", "192.0.2.1/32",
                                  "::/0", "2001:db8::/33", "fdfe::1/128"}) {
    darwin::RouteRequest request;
    request.destination = *Prefix::parse(destination);
    request.gateway = request.destination.address.is_v4() ? ip("192.0.2.254") : ip("fe80::1");
    request.sequence = 77;
    const auto decoded = darwin::decode(darwin::encode(request));
    ASSERT_TRUE(decoded) << destination;
    EXPECT_EQ(decoded->news.type, 1);
    EXPECT_EQ(decoded->news.sequence, 77);
    EXPECT_EQ(decoded->news.destination, request.destination) << destination;
    EXPECT_EQ(decoded->news.gateway, std::get<IpAddr>(request.gateway)) << destination;
    EXPECT_TRUE(decoded->rest.empty());
  }
}

/// As the kernel writes them: masks without their zeros, a gateway that is a link.
TEST(RouteMessage, WhatTheKernelSays) {
  const Bytes answer =
      hex("88 00 05 04  06 00 00 00  43 08 00 00  07 00 00 00  39 05 00 00"
          "09 00 00 00  03 00 00 00  64*00"
          "10 02 00 00 0a 00 00 00 8*00"
          "14 12 06 00 16*00"
          "05 00 00 00 ff 00 00 00");
  const auto decoded = darwin::decode(answer);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->news.process, 1337);
  EXPECT_EQ(decoded->news.sequence, 9);
  EXPECT_EQ(decoded->news.error, 3);
  EXPECT_EQ(decoded->news.interface, IfIndex{6});
  ASSERT_TRUE(decoded->news.destination);
  EXPECT_EQ(decoded->news.destination->text(), "10.0.0.0/8");
  EXPECT_FALSE(decoded->news.gateway);

  // The default route's mask is of length 0.
  Bytes two =
      hex("84 00 05 01  06 00 00 00  03 08 00 00  07 00 00 00  76*00"
          "10 02 14*00"
          "10 02 00 00 c0 00 02 fe 8*00"
          "00 00 00 00 00 00 00 00"
          "08 00 05 0c 00 00 00 00");
  const auto first = darwin::decode(two);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->news.destination->text(), "0.0.0.0/0");
  EXPECT_EQ(first->news.gateway->text(), "192.0.2.254");
  const auto second = darwin::decode(first->rest);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->news.type, 0xc);
  EXPECT_TRUE(second->rest.empty());
  EXPECT_TRUE(darwin::is_change(second->news.type));
  EXPECT_FALSE(darwin::is_change(4));
}

/// A list as NET_RT_DUMP gives it: our half; default routes that reject, swallow, have a scope, are
/// down; ours; and those of two networks.
TEST(RouteMessage, WhichInterfaceLeadsOut) {
  const auto route = [](const char* index, const char* flags, const char* destination_and_mask) {
    Bytes message = hex(std::string("00 00 05 04 ") + index + " 00 00 00 " + flags +
                        " 07 00 00 00  76*00" + destination_and_mask);
    message[0] = static_cast<std::byte>(message.size());
    return message;
  };
  const char* gateway = "10 02 00 00 c0 00 02 fe 8*00";
  const std::string everything = std::string("10 02 14*00") + gateway + "00 00 00 00";
  const std::string half = std::string("10 02 14*00") + gateway + "05 00 00 00 80 00 00 00";
  Bytes list;
  for (const Bytes& one :
       {route("0f", "03 08 00 00", half.c_str()), route("02", "0b 08 00 00", everything.c_str()),
        route("02", "03 18 00 00", everything.c_str()),
        route("03", "03 08 00 01", everything.c_str()),
        route("04", "02 08 00 00", everything.c_str()),
        route("0f", "03 08 00 00", everything.c_str()),
        route("06", "03 08 00 00", everything.c_str()),
        route("07", "03 08 00 00", everything.c_str())}) {
    list.insert(list.end(), one.begin(), one.end());
  }
  EXPECT_EQ(darwin::default_interface(list, IfIndex{15}), IfIndex{6});
  EXPECT_EQ(darwin::default_interface(list, IfIndex{}), IfIndex{15});
  EXPECT_FALSE(darwin::default_interface({}, IfIndex{15}));
  for (std::size_t size = 0; size < list.size(); ++size) {
    const Bytes cut(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(size));
    (void)darwin::default_interface(cut, IfIndex{15});
  }
}

TEST(RouteMessage, NothingIsReadBeyondItsEnd) {
  const Bytes whole =
      hex("90 00 05 01  00 00 00 00  01 08 00 00  07 00 00 00  76*00"
          "10 02 00 00 cb 00 71 00 8*00 14 12 0f 00 16*00 10 02 00 00 ff ff ff 80 8*00");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // Memory of its own, so that AddressSanitizer sees what is read behind it.
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(darwin::decode(cut)) << size;
    if (size < 4) continue;
    cut[0] = static_cast<std::byte>(size);
    cut.shrink_to_fit();
    const auto decoded = darwin::decode(cut);
    EXPECT_EQ(decoded.has_value(), size >= 92) << size;
  }
  EXPECT_FALSE(darwin::decode(hex("08 00 04 0c 4*00"))) << "another version";
  EXPECT_FALSE(darwin::decode(hex("00 00 05 0c 4*00")));
}

}  // namespace
}  // namespace hairpin::platform
