// The binary format: what was written is read again, what others wrote is read, and what is damaged
// is an error.
#include "rule/binary.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "rule/matcher.h"
#include "rule/names.h"

namespace hairpin::rule {
namespace {

Interval range(const char* first, const char* last) {
  return {*IpAddr::parse(first), *IpAddr::parse(last)};
}

/// One of everything that the format has.
RuleSet everything() {
  Rule rule;
  Conditions& of = rule.conditions;
  of.network = {Network::tcp, Network::udp};
  of.query_type = {1, 28, 65};
  of.domain = {"exact.example", "münchen.example"};
  of.domain_suffix = {".below.example", "example.com"};
  of.domain_keyword = {"word"};
  of.domain_regex = {"^stun\\..+"};
  of.adguard_domain = {"part", "|begin.example^", "||example.org^", "||ads*.example^"};
  of.ip_cidr = {range("10.0.0.0", "10.255.255.255"), range("2001:db8::1", "2001:db8::5")};
  of.source_ip_cidr = {range("192.168.0.1", "192.168.0.1")};
  of.port = {{80, 80}, {443, 443}, {1000, 2000}};
  of.source_port = {{53, 53}, {0, 99}};
  of.process_name = {"curl"};
  of.process_path = {"/usr/bin/curl"};
  of.process_path_regex = {"^/usr/.+"};
  of.foreign = {{"package_name", {"com.termux"}},
                {"wifi_ssid", {"Net"}},
                {"wifi_bssid", {"00:00:5e:00:53:01"}},
                {"network_is_expensive", {}},
                {"network_is_constrained", {}},
                {"package_name_regex", {"^com"}},
                {"network_type", {"wifi", "other"}},
                {"default_interface_address", {"2000::/3"}},
                {"network_interface_address", {"wifi=10.0.0.0/8", "cellular=2000::/3"}}};
  Rule inverted;
  inverted.conditions.domain = {"other.example"};
  inverted.invert = true;
  Rule logical;
  logical.kind = Rule::Kind::all;
  logical.rules = {rule, inverted};
  Rule either = logical;
  either.kind = Rule::Kind::any;
  either.invert = true;
  return {5, {rule, logical, either}};
}

/// Members in the order that reading gives them.
void order(std::vector<Rule>& rules) {
  for (Rule& rule : rules) {
    std::ranges::sort(rule.conditions.adguard_domain);
    std::ranges::sort(rule.conditions.foreign, {}, &Foreign::field);
    order(rule.rules);
  }
}

TEST(Binary, WhatIsWrittenIsReadAgain) {
  RuleSet set = everything();
  const auto written = write_binary(set);
  ASSERT_TRUE(written) << written.error().text();
  auto read = read_binary(*written);
  ASSERT_TRUE(read) << read.error().text();
  order(set.rules);
  order(read->rules);
  ASSERT_EQ(read->rules.size(), set.rules.size());
  EXPECT_EQ(*read, set);
}

TEST(Binary, VersionsAreTheLowestThatDo) {
  RuleSet set;
  set.rules.emplace_back();
  set.rules[0].conditions.domain_suffix = {"example.com"};
  const auto version = [&set](std::uint8_t asked) {
    set.version = asked;
    const auto written = write_binary(set);
    const auto read = read_binary(*written);
    EXPECT_EQ(read->rules, set.rules);
    return read->version;
  };
  EXPECT_EQ(version(1), 1);
  EXPECT_EQ(version(2), 2);
  EXPECT_EQ(version(5), 2);
  set.rules[0].conditions.foreign = {{"network_type", {"wifi"}}};
  EXPECT_EQ(version(1), 3);
  set.rules[0].conditions.foreign = {{"default_interface_address", {"10.0.0.0/8"}}};
  EXPECT_EQ(version(2), 4);
  set.rules[0].conditions.foreign = {{"package_name_regex", {"a"}}};
  EXPECT_EQ(version(3), 5);
}

TEST(Binary, WhatHasNoPlaceIsNotDropped) {
  RuleSet set;
  set.rules.emplace_back();
  set.rules[0].conditions.ip_is_private = true;
  EXPECT_EQ(write_binary(set).error().text(),
            "\"ip_is_private\" has no place in a binary rule-set");
}

TEST(Binary, EndingsWithinALabel) {
  const Names names = names_of({"\rhost.example", "\r.below.example", "\nroot.example"});
  EXPECT_EQ(names.expressions, std::vector<std::string>{"host\\.example$"});
  EXPECT_EQ(names.domain_suffix, (std::vector<std::string>{".below.example", "root.example"}));
}

TEST(Binary, NamesSurviveTheTrie) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> keys;
    for (std::size_t i = random() % 50; i > 0; --i) {
      std::string key;
      for (std::size_t length = 1 + random() % 5; length > 0; --length) {
        key += "ab."[random() % 3];
      }
      keys.push_back(key);
    }
    auto back = keys_of(trie_of(keys), {1000, 1000});
    ASSERT_TRUE(back);
    std::ranges::sort(keys);
    keys.erase(std::ranges::unique(keys).begin(), keys.end());
    std::ranges::sort(*back);
    EXPECT_EQ(*back, keys);
  }
}

std::string packed(std::string_view plain, char version = 2) {
  std::string bytes(compressBound(static_cast<uLong>(plain.size())), '\0');
  auto size = static_cast<uLongf>(bytes.size());
  compress2(reinterpret_cast<Bytef*>(bytes.data()), &size,
            reinterpret_cast<const Bytef*>(plain.data()), static_cast<uLong>(plain.size()), 9);
  bytes.resize(size);
  return std::string("SRS") + version + bytes;
}

TEST(Binary, SaysWhatIsWrong) {
  const auto problem = [](const std::string& bytes) {
    const auto read = read_binary(bytes);
    return read ? "" : read.error().text();
  };
  using std::string_literals::operator""s;
  EXPECT_EQ(problem(""), "it is no rule-set: it does not begin with \"SRS\"");
  EXPECT_EQ(problem("SRS"), "the file ends in the middle");
  EXPECT_EQ(problem("SRS\x09"), "it has version 9 of the format; known are 1 to 5");
  EXPECT_EQ(problem("SRS\x01nonsense"), "it cannot be unpacked: the file is damaged");
  EXPECT_EQ(problem(packed("")), "the file ends in the middle");
  EXPECT_EQ(problem(packed("\x01\x07"s + "xx")), "rules[0]: unknown type 7 of a rule");
  EXPECT_EQ(problem(packed("\x01\x00\x40\x00\x00"s)),
            "rules[0]: unknown kind of condition 64: written by a newer program?");
  EXPECT_EQ(problem(packed("\xff\xff\xff\xff\x0f"s)),
            "the file announces 4294967295 of something, and ends before them");
  // A set of addresses that lies about how many there are.
  EXPECT_EQ(problem(packed("\x01\x00\x06\x01\xff\xff\xff\xff\xff\xff\xff\xff"s)),
            "rules[0]: the file announces 18446744073709551615 of something, and ends before them");
  EXPECT_EQ(problem(packed("\x01\x00\x06\x01\x00\x00\x00\x00\x00\x00\x00\x01"
                           "\x04\x0a\x00\x00\x02\x04\x0a\x00\x00\x01\xff\x00"s)),
            "rules[0]: a range of addresses ends before it begins");
  EXPECT_EQ(problem(packed("\x01\x00\x04\x01\x01(\xff\x00"s)),
            "rules[0]: \"(\" is no regular expression: missing ): (");
  EXPECT_EQ(problem(packed("\x00more"s)), "there is more behind its last rule");
  // What could be taken for a rule that is for everything.
  EXPECT_EQ(problem(packed("\x01\x00\xff\x00"s)), "rules[0]: a rule has no conditions");
  EXPECT_EQ(problem(packed("\x01\x00\x09\x00\xff\x00"s)), "rules[0]: a condition has no values");
  EXPECT_EQ(problem(packed("\x01\x00\x03\x00\xff\x00"s)), "rules[0]: a condition has no values");
  EXPECT_EQ(problem(packed("\x01\x00\x06\x01\x00\x00\x00\x00\x00\x00\x00\x00\xff\x00"s)),
            "rules[0]: a set of addresses is empty");
  EXPECT_EQ(problem(packed("\x01\x01\x00\x00\x00"s)), "rules[0]: a logical rule has no rules");
  // A bomb: 80 MiB of nothing.
  EXPECT_EQ(problem(packed(std::string(80U << 20, '\0'))), "it unpacks to more than 64 MiB");
  // Names that are each all the others and a byte, in rule after rule.
  RuleSet chains;
  std::string name;
  for (int i = 0; i < 4000; ++i) {
    name += 'a';
    if (i == 0) chains.rules.resize(20);
    for (Rule& rule : chains.rules) rule.conditions.domain.push_back(name);
  }
  EXPECT_EQ(problem(*write_binary(chains)), "rules[8]: a set of names is damaged, or too large");
  // Logical rules in logical rules.
  std::string deep = "\x01";
  for (int i = 0; i < 100; ++i) deep += "\x01\x00\x01"s;
  EXPECT_EQ(problem(packed(deep + std::string(200, '\0'))),
            "rules[0]: logical rules are nested too deeply");
}

TEST(Binary, DamageIsAnErrorOrAnotherSet) {
  const std::string whole = *write_binary(everything());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(read_binary(whole.substr(0, size))) << size;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 + random() % 255);
    (void)read_binary(damaged);  // whatever it is, it ends
  }
}

// ---- files that other programs wrote
// -------------------------------------------------------------

class Foreigners : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("HAIRPIN_TEST_DATA");
    if (folder == nullptr) GTEST_SKIP() << "HAIRPIN_TEST_DATA names no folder";
    folder_ = folder;
  }
  CompiledSet load(const std::string& name) {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    auto read = read_binary(bytes);
    EXPECT_TRUE(read) << name << ": " << (read ? "" : read.error().text());
    EXPECT_EQ(read->version, 1);
    // Written by us and read again, it is the same.
    auto again = read_binary(*write_binary(*read));
    EXPECT_EQ(*again, *read) << name;
    return CompiledSet(*read);
  }
  static bool holds(const CompiledSet& set, const char* name) {
    Facts facts;
    facts.domain = name;
    facts.has_address = false;
    return set.matches(facts);
  }
  static bool has(const CompiledSet& set, const char* address) {
    Facts facts;
    facts.destination = {*IpAddr::parse(address), 443};
    return set.matches(facts);
  }
  std::string folder_;
};

TEST_F(Foreigners, Domains) {
  const auto google = load("geosite-google.srs");
  EXPECT_TRUE(holds(google, "google.com"));
  EXPECT_TRUE(holds(google, "www.google.com"));
  EXPECT_FALSE(holds(google, "notgoogle.com"));
  EXPECT_FALSE(holds(google, "example.com"));
  const auto github = load("geosite-github.srs");
  EXPECT_TRUE(holds(github, "github.com"));
  EXPECT_FALSE(holds(github, "google.com"));
  EXPECT_TRUE(holds(load("geosite-netflix.srs"), "www.netflix.com"));
  EXPECT_TRUE(holds(load("geosite-cn.srs"), "www.baidu.com"));
  EXPECT_TRUE(holds(load("geosite-private.srs"), "router.localhost"));
}

TEST_F(Foreigners, Addresses) {
  const auto japan = load("geoip-jp.srs");
  EXPECT_TRUE(has(japan, "2001:218::1"));
  EXPECT_FALSE(has(japan, "192.0.2.1"));
  const auto china = load("geoip-cn.srs");
  EXPECT_TRUE(has(china, "114.114.114.114"));
  EXPECT_FALSE(has(china, "8.8.8.8"));
}

}  // namespace
}  // namespace hairpin::rule
