// Rule-sets in their source form, in files of every kind, and what can be wrong with them.
#include "config/rule_set.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/country.h"
#include "config/parse.h"
#include "rule/binary.h"

namespace hairpin::config {
namespace {

std::string told(const Problems& problems) {
  std::string all;
  for (const Problem& problem : problems) all += problem.where + ": " + problem.message + "\n";
  return all;
}

/// A folder that goes with the test.
class Files : public testing::Test {
 protected:
  Files()
      : folder_(std::filesystem::temp_directory_path() /
                ("hairpin-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~Files() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const auto path = folder_ / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path.generic_string();
  }
  /// A configuration with this rule-set, which both a rule and the interface name.
  static std::string load(const std::string& set, Config& out) {
    Problems problems;
    auto config =
        parse(R"({"inbounds": {"type": "tun", "address": "172.18.0.1/30", "auto_route": true,
                            "route_address_set": "s"}, "route": {"rule_set": )" +
                  set + "}}",
              problems);
    if (!config) return told(problems);
    load_rule_sets(*config, problems);
    out = std::move(*config);
    return told(problems);
  }
  std::string load(const std::string& set) const {
    Config config;
    std::string all = load(set, config);
    // Where the folder is does not matter.
    for (std::size_t at; (at = all.find(folder_.generic_string() + "/")) != std::string::npos;) {
      all.erase(at, folder_.generic_string().size() + 1);
    }
    return all;
  }
  std::string local(const std::string& path, const std::string& more = "") const {
    return R"({"tag": "s", "type": "local", "path": ")" + path + "\"" + more + "}";
  }
  std::filesystem::path folder_;
};

constexpr const char* kSource = R"({"version": 3, "rules": [
  {"domain_suffix": ["a.example"], "ip_cidr": ["203.0.113.0/24", "2001:db8::/32"]},
  {"type": "logical", "mode": "or", "rules": [{"ip_cidr": "203.0.114.0/24"}, {"port": 80}]}]})";

TEST_F(Files, EveryFormIsRead) {
  const auto expect_addresses = [](const std::string& set) {
    Config config;
    EXPECT_EQ(load(set, config), "");
    std::string all;
    for (const Interval& one : config.inbounds.at(0).auto_route.set_address)
      all += one.text() + " ";
    EXPECT_EQ(all, "203.0.113.0-203.0.114.255 2001:db8::/32 ");
    rule::Facts facts;
    facts.domain = "x.a.example";
    EXPECT_TRUE(config.route.rule_sets.at(0).rules->matches(facts));
  };
  expect_addresses(local(write("a.json", kSource)));
  Problems problems;
  const auto binary = rule::write_binary(parse_rule_set(kSource, problems));
  expect_addresses(local(write("a.srs", *binary)));
  expect_addresses(local(write("b.bin", *binary), R"(, "format": "binary")"));
  const std::string rules(kSource);
  expect_addresses(R"({"tag": "s", "rules": )" +
                   rules.substr(rules.find('['), rules.rfind('}') - rules.find('[')) + "}");
}

TEST_F(Files, SourceAndBinarySayTheSame) {
  const std::string text = R"({"version": 5, "rules": [{"query_type": ["A", "HTTPS", 32768],
    "network": ["tcp", "udp"], "domain": "a.example", "domain_suffix": ".b.example", "domain_keyword": "c",
    "domain_regex": "^d", "adguard_domain": "||e.example^", "source_ip_cidr": "10.0.0.0/8",
    "ip_cidr": ["192.0.2.0/25", "2001:db8::1"], "source_port": 1, "source_port_range": "2:3", "port": [4, 5],
    "port_range": ":6", "process_name": "curl", "process_path": "/bin/x", "process_path_regex": "^/bin",
    "package_name": "com.x", "package_name_regex": "^com", "wifi_ssid": "Home", "wifi_bssid": "00:00:5e:00:53:01",
    "network_type": ["wifi", "cellular"], "network_is_expensive": true, "network_is_constrained": true,
    "default_interface_address": "2000::/3", "network_interface_address": {"wifi": ["10.0.0.0/8"]},
    "invert": true}, {"network": "icmp"}]})";
  Problems problems;
  const auto set = parse_rule_set(text, problems);
  ASSERT_EQ(told(problems), "");
  const auto binary = rule::write_binary(set);
  ASSERT_TRUE(binary) << binary.error().text();
  const auto back = rule::read_binary(*binary);
  ASSERT_TRUE(back) << back.error().text();
  const auto json = [](const rule::RuleSet& of) { return nlohmann::json::parse(source_of(of)); };
  EXPECT_EQ(json(*back), json(set));
  const auto again = parse_rule_set(source_of(*back), problems);
  ASSERT_EQ(told(problems), "");
  EXPECT_EQ(json(again), json(set));
}

TEST_F(Files, WhatIsWrongIsTold) {
  const std::string good = R"({"version": 3, "rules": [{"ip_cidr": "10.0.0.0/8"}]})";
  EXPECT_EQ(load(local((folder_ / "none.json").generic_string())),
            "route.rule_set \"s\": read none.json: No such file or directory\n");
  EXPECT_EQ(load(local(folder_.generic_string())),
            "route.rule_set \"s\": read " + folder_.generic_string() + ": Is a directory\n");
  EXPECT_EQ(load(local(write("a.srs", good))),
            "route.rule_set \"s\": a.srs is no file of format \"binary\"\n");
  EXPECT_EQ(load(local(write("a.json", "SRS\x01"))),
            "route.rule_set \"s\": a.json is no file of format \"source\"\n");
  EXPECT_EQ(load(local(write("a.srs", "SRS\x01"))), "a.srs: the file ends in the middle\n");
  EXPECT_EQ(load(local(write("a.json", R"({"rules": []})"))),
            "a.json: \"version\" is missing, for example 3\n");
  EXPECT_EQ(load(local(write("a.json", R"({"version": 9, "rules": []})"))),
            "a.json: version: expected a number from 1 to 5, got 9\n");
  EXPECT_EQ(load(local(write("a.json", R"({"version": 3, "rules": [{"domain_sufix": "a"}]})"))),
            "a.json: rules[0].domain_sufix: unknown field; did you mean \"domain_suffix\"?\n");
  EXPECT_EQ(
      load(local(write("a.json", R"({"version": 3, "rules": [{"domain_regex": ["a", "("]}]})"))),
      "a.json: rules[0].domain_regex[1]: is no regular expression: missing ): (\n");
  EXPECT_EQ(
      load(local(write("a.json",
                       R"({"version": 3, "rules": [{"type": "logical", "rules": {"port": 1}}]})"))),
      "a.json: rules[0]: \"mode\" is missing: \"and\" or \"or\"\n");
  EXPECT_EQ(load(local(write("a.json", R"({"version": 3, "rules": [{"domain": ""}]})"))),
            "a.json: rules[0].domain: expected a name, got \"\"\n");
  EXPECT_EQ(load(local(write("a.json", R"({"version": 3, "rules": [{"domain": "a"}]})"))),
            "inbounds[0].route_address_set: the rule-set \"s\" has no address\n");
  EXPECT_EQ(load(local(write("a.json", R"({"version": 3, "rules": [{}, {"invert": true}]})"))),
            "a.json: rules[0]: has no conditions\na.json: rules[1]: has no conditions\n");
  EXPECT_EQ(load(local(write(
                "a.json",
                R"({"version": 3, "rules": [{"type": "logical", "mode": "or", "rules": []}]})"))),
            "a.json: rules[0].rules: is empty\n");
  EXPECT_EQ(load(R"({"tag": "s"})"), "route.rule_set: \"rules\" is missing\n");
  EXPECT_EQ(load(R"({"tag": "s", "rules": [], "path": "x"})"),
            "route.rule_set.path: is for files: \"type\" is \"inline\"\n");
  EXPECT_EQ(load(R"({"tag": "s", "type": "remote"})"), "route.rule_set: \"url\" is missing\n");
  EXPECT_EQ(load(R"({"tag": "s", "type": "remote", "url": "ftp://example.com/"})"),
            "route.rule_set.url: expected a URL such as \"https://example.com/some.srs\", got "
            "\"ftp://example.com/\"\n");
  EXPECT_EQ(load(local("x", R"(, "update_interval": "1h")")),
            "route.rule_set.update_interval: is for \"type\" \"remote\"\n");
  EXPECT_EQ(load(R"({"tag": "s", "type": "remote", "url": "https://example.com/a.srs",
                     "path": "/nowhere/to/be/found"})"),
            "")
      << "it is yet to be fetched";
  EXPECT_EQ(load(local("x", R"(, "country": "DE")")),
            "route.rule_set: \"country\" needs format \"mmdb\"\n");
  EXPECT_EQ(load(local("x.mmdb")),
            "route.rule_set: \"country\" is missing, for example [\"DE\"]\n");
  EXPECT_EQ(load(local("x.mmdb", R"(, "country": "de")")),
            "route.rule_set.country: expected two capital letters such as \"DE\", got \"de\"\n");
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += R"({"type": "logical", "mode": "or", "rules": )";
  deep += "[]" + std::string(40, '}');
  EXPECT_NE(load(local(write("a.json", R"({"version": 3, "rules": )" + deep + "}")))
                .find("is nested too deeply"),
            std::string::npos);
}

// ---- databases of countries, made by MaxMind
// ------------------------------------------------------

class Countries : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("HAIRPIN_TEST_DATA");
    if (folder == nullptr) GTEST_SKIP() << "HAIRPIN_TEST_DATA names no folder";
    folder_ = folder;
  }
  bool has(const char* file, const char* code, const char* address) const {
    const auto found = read_countries_of((folder_ / file).string(), {code});
    EXPECT_TRUE(found) << file << ": " << (found ? "" : found.error().text());
    if (!found) return false;
    return rule::AddressSet(*found).contains(*IpAddr::parse(address));
  }
  std::filesystem::path folder_;
};

TEST_F(Countries, AreFoundInBothDatabases) {
  for (const char* file : {"GeoIP2-Country-Test.mmdb", "GeoLite2-Country-Test.mmdb"}) {
    EXPECT_TRUE(has(file, "GB", "2.125.160.216"));
    EXPECT_TRUE(has(file, "GB", "81.2.69.160"));
    EXPECT_TRUE(has(file, "JP", "2001:218::1"));
    EXPECT_FALSE(has(file, "JP", "81.2.69.160"));
    EXPECT_FALSE(has(file, "GB", "192.0.2.1"));
    const auto none = read_countries_of((folder_ / file).string(), {"XX"});
    ASSERT_FALSE(none);
    EXPECT_NE(none.error().text().find("has none of the countries"), std::string::npos);
  }
}

TEST_F(Countries, DamagedDatabasesAreErrors) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "bad")) {
    EXPECT_FALSE(read_countries_of(entry.path().string(), {"GB"})) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 10);
  EXPECT_FALSE(read_countries_of("/nowhere.mmdb", {"GB"}));
  EXPECT_FALSE(read_countries_of("/dev/null", {"GB"}));
}

TEST_F(Countries, AnyDamageEnds) {
  std::ifstream file(folder_ / "GeoLite2-Country-Test.mmdb", std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(file), {}};
  const auto path =
      std::filesystem::temp_directory_path() / ("hairpin-mmdb-" + std::to_string(::getpid()));
  unsigned seed = 1;
  const auto random = [&seed] { return seed = seed * 1664525 + 1013904223; };
  for (int i = 0; i < 200; ++i) {
    std::string damaged = whole;
    for (int j = 0; j < 5; ++j)
      damaged[random() % damaged.size()] = static_cast<char>(random() >> 24);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << damaged;
    (void)read_countries_of(path.string(), {"GB"});
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace hairpin::config
