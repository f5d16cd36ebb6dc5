// The ways out: what is read, and what is wrong with it.
#include <gtest/gtest.h>

#include "config/parse.h"
#include "config/parse_outbounds.h"

namespace hairpin::config {
namespace {

/// A configuration with these outbounds.
std::string with(const std::string& outbounds) {
  return R"({"inbounds": [{"type": "tun", "address": "172.18.0.1/30"}], "outbounds": [)" +
         outbounds + "]}";
}

/// All problems as lines.
std::string outbound_problems(const std::string& outbounds) {
  Problems problems;
  const auto config = parse(with(outbounds), problems);
  EXPECT_EQ(config.has_value(), problems.empty());
  std::string lines;
  for (const Problem& problem : problems) lines += problem.where + ": " + problem.message + "\n";
  return lines;
}

Config valid_outbounds(const std::string& outbounds) {
  Problems problems;
  auto config = parse(with(outbounds), problems);
  for (const Problem& problem : problems) ADD_FAILURE() << problem.where << ": " << problem.message;
  return config.value_or(Config{});
}

/// Self-signed, for tests only.
const std::string kCertificate =
    "-----BEGIN CERTIFICATE-----\\n"
    "MIIBhjCCASugAwIBAgIUW4v2SsrwAUbyyY0q8bTdJVbmaPYwCgYIKoZIzj0EAwIw\\n"
    "FzEVMBMGA1UEAwwMdGVzdC5leGFtcGxlMCAXDTI2MTEyMTE4MzAyMVoYDzIxMjYx\\n"
    "MDI4MTgzMDIxWjAXMRUwEwYDVQQDDAx0ZXN0LmV4YW1wbGUwWTATBgcqhkjOPQIB\\n"
    "BggqhkjOPQMBBwNCAAQq2Onul31n3YjBzfl3rmg5953GpVQBTVXCY5MeluxVTOpT\\n"
    "VwNkdt5pLJJ4OibnkYmtvDI6W9GKq5yLwu9nlOp8o1MwUTAdBgNVHQ4EFgQUmPFO\\n"
    "NIuLN46y5+b1q5r9Oh/QvMAwHwYDVR0jBBgwFoAUmPFONIuLN46y5+b1q5r9Oh/Q\\n"
    "vMAwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEA2ZfOW4mTlkMX\\n"
    "Z54v9xHN4n1mQ0srDG5PhKlMM7PAAYQCIQDuvNmBXggS5YYoz4m8ydyGiyClVUyp\\n"
    "j8PuRVaSKErhqw==\\n"
    "-----END CERTIFICATE-----";

struct Wrong {
  const char* outbounds;
  const char* problem;  ///< All of them.
};

const std::string kHttp = R"("type": "http", "server": "h.example", "server_port": 443)";

TEST(Outbounds, Tls) {
  const Config config =
      valid_outbounds(R"({)" + kHttp + R"(, "tls": {"enabled": true, "server_name": "n.example",
      "insecure": false, "disable_sni": true, "alpn": ["h2", "http/1.1"], "min_version": "1.3",
      "max_version": "1.3", "certificate": ")" +
                      kCertificate + R"("}}, {)" + kHttp + R"(,
      "tls": {"enabled": true, "insecure": true, "alpn": "x"}}, {)" +
                      kHttp + R"(,
      "tls": {"certificate_path": "/nonexistent"}})");
  const Tls& tls = std::get<Http>(config.outbounds.at(0).kind).tls;
  EXPECT_TRUE(tls.enabled);
  EXPECT_EQ(tls.server_name, "n.example");
  EXPECT_TRUE(tls.disable_sni);
  EXPECT_EQ(tls.alpn, (std::vector<std::string>{"h2", "http/1.1"}));
  EXPECT_EQ(tls.min_version, TlsVersion::v1_3);
  EXPECT_NE(tls.certificate.find("BEGIN CERTIFICATE"), std::string::npos);
  EXPECT_TRUE(std::get<Http>(config.outbounds.at(1).kind).tls.insecure);

  Config missing = config;
  Problems problems;
  load_certificates(missing, problems);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].where, "outbounds[2].tls.certificate_path");
}

TEST(Outbounds, TlsWrong) {
  for (const Wrong& row : {
           Wrong{R"("min_version": "1.1")",
                 "outbounds[0].tls.min_version: expected \"1.2\" or \"1.3\", got \"1.1\"\n"},
           {R"("min_version": "1.3", "max_version": "1.2")",
            "outbounds[0].tls: \"min_version\" is above \"max_version\"\n"},
           {R"("alpn": "")", "outbounds[0].tls.alpn: a protocol has 1 to 255 bytes\n"},
           {R"("certificate": "none")",
            "outbounds[0].tls.certificate: expected certificates in PEM (\"-----BEGIN "
            "CERTIFICATE-----\"), got \"none\"\n"},
           {R"("insecure": true, "certificate_path": "/x")",
            "outbounds[0].tls: \"insecure\" trusts everybody: it excludes certificates\n"},
           {R"("server_nam": "x")",
            "outbounds[0].tls.server_nam: unknown field; did you mean \"server_name\"?\n"},
       }) {
    EXPECT_EQ(outbound_problems("{" + kHttp + R"(, "tls": {)" + row.outbounds + "}}"), row.problem);
  }
}

TEST(Outbounds, References) {
  const auto proxy = [](const char* tag, const std::string& more) {
    return R"({"type": "socks", "server": "h", "server_port": 1, "tag": ")" + std::string(tag) +
           "\"" + more + "}";
  };
  const auto through = [](const char* tag) { return R"(, "detour": ")" + std::string(tag) + "\""; };
  EXPECT_EQ(outbound_problems(proxy("a", through("b")) + "," + proxy("b", "")), "");
  EXPECT_EQ(outbound_problems(proxy("a", through("a"))),
            "outbounds[0]: goes in a circle: a -> a\n");
  EXPECT_EQ(outbound_problems(proxy("a", through("b")) + "," + proxy("b", through("c")) + "," +
                              proxy("c", through("b"))),
            "outbounds[1]: goes in a circle: b -> c -> b\n");
  EXPECT_EQ(outbound_problems(proxy("abc", through("abd"))),
            "outbounds[0].detour: no outbound has the tag \"abd\"; did you mean \"abc\"?\n");
  EXPECT_EQ(
      outbound_problems(proxy("a", through("b") + R"(, "bind_interface": "x", "routing_mark": 1)") +
                        "," + proxy("b", "")),
      "outbounds[0].bind_interface: does nothing beside \"detour\", whose sockets are used\n"
      "outbounds[0].routing_mark: does nothing beside \"detour\", whose sockets are used\n");
}

TEST(Outbounds, DialOptions) {
  const Config config = valid_outbounds(R"({"type": "direct", "inet4_bind_address": "192.0.2.1",
      "inet6_bind_address": "2001:db8::1", "reuse_addr": true, "fallback_delay": "1s"}, {)" +
                                        kHttp + R"(, "tcp_fast_open": true})");
  const Dial& dial = config.outbounds.at(0).dial;
  EXPECT_EQ(dial.inet4_bind_address->text(), "192.0.2.1");
  EXPECT_EQ(dial.inet6_bind_address->text(), "2001:db8::1");
  EXPECT_TRUE(dial.reuse_addr);
  EXPECT_EQ(dial.fallback_delay, Duration(1000));
  EXPECT_TRUE(config.outbounds.at(1).dial.tcp_fast_open);
  EXPECT_EQ(outbound_problems(
                R"({"type": "direct", "inet4_bind_address": "::1", "inet6_bind_address": 5})"),
            "outbounds[0].inet4_bind_address: expected an IPv4 address, got \"::1\"\n"
            "outbounds[0].inet6_bind_address: expected an IPv6 address, got 5\n");
}

TEST(Outbounds, Groups) {
  const Config config =
      valid_outbounds(R"({"type": "direct", "tag": "a"}, {"type": "direct", "tag": "b"},
      {"type": "selector", "tag": "s", "outbounds": ["a", "u"], "default": "u", "interrupt_exist_connections": true},
      {"type": "urltest", "tag": "u", "outbounds": ["a", "b"], "url": "http://[2001:db8::1]:8080?x#y",
       "interval": "1m", "tolerance": 5, "idle_timeout": "2m"},
      {"type": "failover", "tag": "f", "outbounds": "b", "retry_after": "5s"},
      {"type": "urltest", "tag": "v", "outbounds": ["s", "f"]})");
  const auto group = [&](std::size_t i) { return std::get<Group>(config.outbounds.at(i).kind); };
  EXPECT_EQ(group(2).default_outbound, "u");
  EXPECT_TRUE(group(2).interrupt_exist_connections);
  const Url& url = group(3).url;
  EXPECT_FALSE(url.tls);
  EXPECT_EQ(url.server, (Server{"2001:db8::1", 8080}));
  EXPECT_EQ(url.authority, "[2001:db8::1]:8080");
  EXPECT_EQ(url.path, "/?x");
  EXPECT_EQ(group(3).interval, std::chrono::minutes(1));
  EXPECT_EQ(group(3).tolerance, Duration(5));
  EXPECT_EQ(group(4).retry_after, std::chrono::seconds(5));
  EXPECT_EQ(group(5).url.server, (Server{"www.gstatic.com", 443}));
  EXPECT_EQ(group(5).interval, std::chrono::minutes(3));
}

TEST(Outbounds, GroupsWrong) {
  const std::string group = R"({"type": "direct", "tag": "a"}, {"type": )";
  for (const Wrong& row : {
           Wrong{R"("selector", "outbounds": "a")", "outbounds[1]: \"tag\" is missing\n"},
           {R"("selector", "tag": "g")", "outbounds[1]: \"outbounds\" is missing, or has none\n"},
           {R"("selector", "tag": "g", "outbounds": ["a", "x"])",
            "outbounds[1].outbounds[1]: no outbound has the tag \"x\"; did you mean \"a\"?\n"},
           {R"("selector", "tag": "g", "outbounds": ["a", "a"])",
            "outbounds[1].outbounds: has \"a\" twice\n"},
           {R"("selector", "tag": "g", "outbounds": ["a"], "default": "b")",
            "outbounds[1].default: \"b\" is not in \"outbounds\"\n"},
           {R"("failover", "tag": "g", "outbounds": ["a", "g"])",
            "outbounds[1]: goes in a circle: g -> g\n"},
           {R"("urltest", "tag": "g", "outbounds": "a", "interval": "1h")",
            "outbounds[1]: \"interval\" is longer than \"idle_timeout\"\n"},
           {R"("urltest", "tag": "g", "outbounds": "a", "tolerance": 70000)",
            "outbounds[1].tolerance: expected a number from 0 to 65535, got 70000\n"},
       }) {
    EXPECT_EQ(outbound_problems(group + row.outbounds + "}"), row.problem);
  }
  for (const char* url :
       {"gstatic.com", "ftp://h/", "http://", "http:///x", "http://h:0/", "http://h:x/",
        "http://::1/", "http://u@h/", "http://h/a b", "http://[h"}) {
    EXPECT_EQ(outbound_problems(group + R"("urltest", "tag": "g", "outbounds": "a", "url": ")" +
                                url + "\"}"),
              "outbounds[1].url: expected a URL such as "
              "\"https://www.gstatic.com/generate_204\", got \"" +
                  std::string(url) + "\"\n");
  }
}

}  // namespace
}  // namespace hairpin::config
