#include "wire/http_connect.h"

#include <gtest/gtest.h>

#include "support/packets.h"

namespace hairpin::http_connect {
namespace {

auto parse(const std::string& text) {
  return parse_response(std::as_bytes(std::span(text)));
}

TEST(HttpConnect, Requests) {
  EXPECT_EQ(request({{}, test::at("192.0.2.1:443")}, {}),
            "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n");
  EXPECT_EQ(
      request({{}, test::at("[2001:db8::1]:443")}, Credentials{"Aladdin", "open sesame"}),
      "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"
      "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");  // RFC 7617, section 2
  EXPECT_NE(request({{}, test::at("192.0.2.1:443")}, Credentials{"a", "b"}).find("Basic YTpi\r\n"),
            std::string::npos);
  EXPECT_NE(
      request({{}, test::at("192.0.2.1:443")}, Credentials{"a", "bc"}).find("Basic YTpiYw==\r\n"),
      std::string::npos);
  EXPECT_NE(
      request({"host.example", test::at("0.0.0.0:443")}, {}).find("CONNECT host.example:443 "),
      std::string::npos);
}

TEST(HttpConnect, Responses) {
  const std::string head = "HTTP/1.1 200 Connection established\r\nContent-Length: 99\r\n\r\n";
  for (std::size_t size = 0; size < head.size(); ++size) {
    const auto parsed = parse(head.substr(0, size));
    ASSERT_TRUE(parsed) << size;
    EXPECT_FALSE(parsed->has_value()) << size;
  }
  const auto parsed = parse(head + "SSH-2.0");
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_EQ((*parsed)->status, 200U);
  EXPECT_EQ((*parsed)->reason, "Connection established");
  EXPECT_EQ((*parsed)->size, head.size());
  EXPECT_EQ((*parse("HTTP/1.0 407 Auth\r\nTransfer-Encoding: chunked\r\n\r\n"))->status, 407U);
}

TEST(HttpConnect, Garbage) {
  for (const std::string& text :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("HTTP/1.1 abc\r\n\r\n"),
        std::string(100, '\0'), "HTTP/1.1 200 x\r\n" + std::string(kMaxHead, 'a')}) {
    EXPECT_TRUE(parse(text).has_error()) << text.substr(0, 40);
  }
}

}  // namespace
}  // namespace hairpin::http_connect
