#include "app/lacks.h"

#include <gtest/gtest.h>

#include "config/parse.h"

namespace hairpin::app {
namespace {

config::Config read(const std::string& inbound, const std::string& rest) {
  std::string fields = inbound;
  if (fields.find("\"address\"") == std::string::npos)
    fields += R"(, "address": ["172.18.0.1/30"])";
  if (fields.find("\"stack\"") == std::string::npos) fields += R"(, "stack": "userspace")";
  config::Problems problems;
  auto config = config::parse(R"({"inbounds": [{"type": "tun")" + fields +
                                  R"(}], "outbounds": [{"type": "direct"}])" + rest + "}",
                              problems);
  EXPECT_TRUE(problems.empty()) << problems.front().where << problems.front().message;
  return config.value();
}

std::string fields(const std::string& inbound, const std::string& rest = "") {
  std::string text;
  for (const std::string& line : lacks(read(inbound, rest))) {
    text += line.substr(0, line.find(':')) + "\n";
  }
  return text;
}

TEST(Lacks, WhatIsThereIsLeftAlone) {
  EXPECT_EQ(fields(""), "");
  EXPECT_EQ(fields(R"(, "auto_route": true)", R"(, "route": {"auto_detect_interface": true})"), "");
  EXPECT_EQ(fields(R"(, "auto_route": true, "route_exclude_address": ["10.0.0.0/8"])",
                   R"(, "route": {"default_interface": "Ethernet"})"),
            "");
}

TEST(Lacks, EachFieldOfLinuxIsNamed) {
  EXPECT_EQ(fields(R"(, "stack": "mixed")"), "inbounds[0].stack\n");
  EXPECT_EQ(fields(R"(, "auto_route": true, "strict_route": true, "auto_redirect": true,
                       "gateway": true, "on_stop": "closed", "include_interface": ["a"],
                       "exclude_uid": [1], "exclude_mac_address": ["02:00:5e:00:53:01"],
                       "include_cgroup": ["/a"])",
                   R"(, "route": {"auto_detect_interface": true})"),
            "inbounds[0].strict_route\ninbounds[0].auto_redirect\ninbounds[0].gateway\n"
            "inbounds[0].on_stop\ninbounds[0].include_interface\ninbounds[0].exclude_uid\n"
            "inbounds[0].exclude_mac_address\ninbounds[0].include_cgroup\n");
}

TEST(Lacks, WhatIsRoutedToUsNeedsAnotherWayOut) {
  EXPECT_EQ(fields(R"(, "auto_route": true)"), "inbounds[0].auto_route\n");
}

std::string routes(const std::string& inbound) {
  std::string text;
  for (const Prefix& prefix : captured(read(inbound, "").inbounds.front())) {
    text += prefix.text() + " ";
  }
  return text;
}

TEST(Captured, IsWhatWasAskedForWithoutWhatWasExcluded) {
  EXPECT_EQ(routes(""), "0.0.0.0/1 128.0.0.0/1 ") << "no route without an address of its family";
  EXPECT_EQ(routes(R"(, "address": ["172.18.0.1/30", "fdfe:dcba:9876::1/126"])"),
            "0.0.0.0/1 ::/1 128.0.0.0/1 8000::/1 ");
  EXPECT_EQ(routes(R"(, "auto_route": true, "route_address": ["198.51.100.0/24"],
                      "route_exclude_address": ["198.51.100.0/25", "10.0.0.0/8"])"),
            "198.51.100.128/25 ");
}

}  // namespace
}  // namespace hairpin::app
