#include "wire/socks5.h"

#include <gtest/gtest.h>

#include "support/packets.h"

namespace hairpin::socks5 {
namespace {

using test::at;

Bytes bytes(std::initializer_list<unsigned> values) {
  Bytes out;
  test::put(out, values);
  return out;
}

/// Every proper beginning of a message must be incomplete: a proxy may send one byte at a time.
template <class Parse>
void expect_incomplete_before(const Bytes& message, Parse parse) {
  for (std::size_t size = 0; size < message.size(); ++size) {
    const auto parsed = parse(std::span(message).first(size));
    ASSERT_TRUE(parsed) << size << ": " << parsed.error().text();
    EXPECT_FALSE(parsed->has_value()) << size;
  }
}

TEST(Socks5, Messages) {
  EXPECT_EQ(greeting(false), bytes({5, 1, 0}));
  EXPECT_EQ(greeting(true), bytes({5, 2, 0, 2}));
  EXPECT_EQ(password_request("ab", "xyz"), bytes({1, 2, 'a', 'b', 3, 'x', 'y', 'z'}));
  EXPECT_EQ(request(Command::connect, {{}, at("192.0.2.1:80")}),
            bytes({5, 1, 0, 1, 192, 0, 2, 1, 0, 80}));
  EXPECT_EQ(request(Command::udp_associate, {{}, at("[2001:db8::1]:258")}),
            bytes({5, 3, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2}));
  EXPECT_EQ(request(Command::connect, {"a.b", at("0.0.0.0:443")}),
            bytes({5, 1, 0, 3, 3, 'a', '.', 'b', 1, 187}));
}

TEST(Socks5, MethodReplies) {
  expect_incomplete_before(bytes({5, 2}), parse_method);
  EXPECT_EQ((*parse_method(bytes({5, 0})))->value, Method::none);
  EXPECT_EQ((*parse_method(bytes({5, 2, 9})))->value, Method::password);
  EXPECT_EQ((*parse_method(bytes({5, 2, 9})))->size, 2U);
  EXPECT_EQ((*parse_method(bytes({5, 255})))->value, Method::unacceptable);
  EXPECT_TRUE(parse_method(bytes({5, 1})).has_error());
  EXPECT_TRUE(parse_method(bytes({'H'})).has_error());
}

TEST(Socks5, PasswordReplies) {
  expect_incomplete_before(bytes({1, 0}), parse_password_reply);
  EXPECT_TRUE((*parse_password_reply(bytes({1, 0})))->value);
  EXPECT_TRUE((*parse_password_reply(bytes({5, 0})))->value);
  EXPECT_FALSE((*parse_password_reply(bytes({1, 1})))->value);
}

TEST(Socks5, Replies) {
  const Bytes v4 = bytes({5, 0, 0, 1, 192, 0, 2, 1, 4, 56});
  const Bytes v6 =
      bytes({5, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2});
  const Bytes name = bytes({5, 0, 0, 3, 3, 'a', '.', 'b', 1, 187});
  for (const Bytes& message : {v4, v6, name}) {
    expect_incomplete_before(message, parse_reply);
    Bytes longer = message;
    test::put(longer, {'S', 'S', 'H'});
    EXPECT_EQ((*parse_reply(longer))->size, message.size());
  }
  EXPECT_EQ((*parse_reply(v4))->value.bound.endpoint, at("192.0.2.1:1080"));
  EXPECT_EQ((*parse_reply(v6))->value.bound.endpoint, at("[2001:db8::1]:258"));
  EXPECT_EQ((*parse_reply(name))->value.bound.name, "a.b");
  EXPECT_EQ((*parse_reply(bytes({5, 5})))->value.code, 5);  // a server that closes after the code
  EXPECT_TRUE(parse_reply(bytes({4, 0})).has_error());
  EXPECT_TRUE(parse_reply(bytes({5, 0, 0, 9, 1, 1})).has_error());
}

TEST(Socks5, ReplyCodes) {
  EXPECT_EQ(reply_text(5), "connection refused");
  EXPECT_EQ(reply_text(200), "unknown reply 200");
  EXPECT_EQ(reply_errno(5), ECONNREFUSED);
  EXPECT_EQ(reply_errno(4), EHOSTUNREACH);
  EXPECT_EQ(reply_errno(200), 0);
}

TEST(Socks5, UdpHeaders) {
  for (const Target& target : {Target{{}, at("192.0.2.1:53")}, Target{{}, at("[2001:db8::1]:53")},
                               Target{std::string(255, 'n'), at("0.0.0.0:53")}}) {
    Bytes out(kMaxUdpHeader + 3, std::byte{0x77});
    const std::size_t size = write_udp_header(target, out);
    ASSERT_LE(size, kMaxUdpHeader);
    for (std::size_t cut = 0; cut < size; ++cut) {
      EXPECT_FALSE(parse_udp_header(std::span(out).first(cut)));
    }
    const auto parsed = parse_udp_header(out);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->size, size);
    EXPECT_EQ(parsed->value.text(), target.text());
    out[2] = std::byte{1};  // a fragment
    EXPECT_FALSE(parse_udp_header(out));
  }
  EXPECT_FALSE(parse_udp_header(bytes({0, 0, 0, 3, 0, 0, 53, 'x'})));  // a name of no bytes
}

}  // namespace
}  // namespace hairpin::socks5
