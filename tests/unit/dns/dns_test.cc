#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "dns/cache.h"
#include "dns/fake_pool.h"
#include "dns/hosts.h"
#include "dns/store.h"

namespace hairpin::dns {
namespace {

AnswerPtr answer(std::uint32_t ttl) {
  auto made = make_answer(*Question::of("a.example", kA), {*IpAddr::parse("192.0.2.1")}, ttl);
  return std::make_shared<const Answer>(std::move(made));
}

TEST(Cache, AgesAndForgets) {
  Cache cache(2);
  cache.keep("a", answer(10), 100);
  EXPECT_EQ(cache.find("a", 107, false).age, 7);
  EXPECT_FALSE(cache.find("b", 107, false).answer);
  EXPECT_TRUE(cache.find("a", 109, false).answer);
  EXPECT_TRUE(cache.find("a", 500, true).answer) << "disable_expire";
  EXPECT_FALSE(cache.find("a", 110, false).answer);
  EXPECT_EQ(cache.size(), 0);

  cache.keep("none", answer(0), 100);
  EXPECT_EQ(cache.size(), 0);
  cache.keep("failed", answer(0), 100, 1);
  EXPECT_TRUE(cache.find("failed", 100, false).answer);
  EXPECT_FALSE(cache.find("failed", 101, false).answer);
}

TEST(Cache, TheLeastRecentlyUsedGoes) {
  Cache cache(2);
  cache.keep("a", answer(10), 100);
  cache.keep("b", answer(10), 100);
  EXPECT_TRUE(cache.find("a", 101, false).answer);
  cache.keep("c", answer(10), 101);
  EXPECT_FALSE(cache.find("b", 101, false).answer);
  EXPECT_TRUE(cache.find("a", 101, false).answer);
  EXPECT_TRUE(cache.find("c", 101, false).answer);
  cache.set_capacity(0);
  EXPECT_EQ(cache.size(), 0);
  cache.keep("d", answer(10), 101);
  EXPECT_EQ(cache.size(), 0);
}

class Pool : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "pool-" + std::to_string(::getpid()) + "/cache";
  void TearDown() override {
    std::filesystem::remove_all(std::filesystem::path(path_).parent_path());
  }

  static FakePool make(const char* v4 = "198.18.0.0/15", const char* v6 = "fc00::/18") {
    return {Prefix::parse(v4), Prefix::parse(v6)};
  }
};

TEST_F(Pool, BothFamiliesAlike) {
  FakePool pool = make();
  EXPECT_EQ(pool.address_of("a.example", Family::v4)->text(), "198.18.0.2");
  EXPECT_EQ(pool.address_of("a.example", Family::v6)->text(), "fc00::2");
  EXPECT_EQ(pool.address_of("b.example", Family::v6)->text(), "fc00::3");
  EXPECT_EQ(pool.name_of(*IpAddr::parse("198.18.0.3")), "b.example");
  EXPECT_EQ(pool.name_of(*IpAddr::parse("198.18.0.4")), "");
  EXPECT_EQ(pool.name_of(*IpAddr::parse("198.18.0.0")), "");
  EXPECT_EQ(pool.name_of(*IpAddr::parse("198.19.255.255")), "");
  EXPECT_EQ(pool.name_of(*IpAddr::parse("fc00:1::2")), "");
  EXPECT_TRUE(pool.contains(*IpAddr::parse("198.19.255.255")));
  EXPECT_FALSE(pool.contains(*IpAddr::parse("198.20.0.0")));
  FakePool one(Prefix::parse("198.18.0.0/15"), std::nullopt);
  EXPECT_FALSE(one.address_of("a.example", Family::v6));
  EXPECT_FALSE(one.contains(*IpAddr::parse("fc00::2")));
}

TEST_F(Pool, GoesRound) {
  FakePool pool = make("198.18.0.5/28");  // host bits: the network is meant
  for (int i = 0; i < 13; ++i) {
    EXPECT_TRUE(
        pool.address_of("n" + std::to_string(i), Family::v4)->text().starts_with("198.18.0."));
  }
  EXPECT_EQ(pool.address_of("n12", Family::v4)->text(), "198.18.0.14");
  EXPECT_EQ(pool.address_of("again", Family::v4)->text(), "198.18.0.2");
  EXPECT_EQ(pool.name_of(*IpAddr::parse("198.18.0.2")), "again");
  EXPECT_EQ(pool.address_of("n0", Family::v4)->text(), "198.18.0.3") << "it has lost its number";
  EXPECT_EQ(pool.size(), 13);
}

TEST_F(Pool, SurvivesARestart) {
  {
    FakePool pool = make();
    ASSERT_TRUE(pool.open(path_));
    (void)pool.address_of("a.example", Family::v4);
    (void)pool.address_of("b.example", Family::v4);
  }
  std::ofstream(path_, std::ios::app) << "nonsense\n7\n999999999 far.example\n3 c.exam";  // a crash
  for (int again = 0; again < 2; ++again) {
    FakePool pool = make();
    ASSERT_TRUE(pool.open(path_));
    EXPECT_EQ(pool.address_of("b.example", Family::v4)->text(), "198.18.0.3");
    EXPECT_EQ(pool.address_of("a.example", Family::v4)->text(), "198.18.0.2");
  }
  FakePool pool = make();
  ASSERT_TRUE(pool.open(path_));
  EXPECT_NE(pool.address_of("new.example", Family::v4)->text(), "198.18.0.3");
}

TEST_F(Pool, WithoutAFile) {
  FakePool pool = make();
  EXPECT_FALSE(pool.open("/proc/nowhere/cache"));
  EXPECT_TRUE(pool.address_of("a.example", Family::v4));
}

TEST(Store, NamesOfAddresses) {
  Store store;
  config::Dns dns;
  dns.reverse_mapping = true;
  store.configure(dns, {});
  const IpAddr address = *IpAddr::parse("192.0.2.1");
  store.remember({address}, "a.example");
  EXPECT_EQ(store.identify(address).name, "a.example");
  store.remember({address}, "b.example");
  EXPECT_EQ(store.identify(address).name, "b.example");
  EXPECT_FALSE(store.identify(address).fake);
  dns.reverse_mapping = false;
  store.configure(dns, {});
  EXPECT_EQ(store.identify(address).name, "");
}

TEST(Store, OneFlightForAll) {
  Store store;
  std::vector<int> landed;
  EXPECT_FALSE(store.board("k", [&](const Outcome&) { landed.push_back(0); }));
  EXPECT_TRUE(
      store.board("k", [&](const Outcome& outcome) { landed.push_back(outcome ? 1 : -1); }));
  EXPECT_TRUE(
      store.board("k", [&](const Outcome& outcome) { landed.push_back(outcome ? 2 : -2); }));
  store.land("k", Error{"no"});
  EXPECT_EQ(landed, (std::vector<int>{-1, -2}));
  EXPECT_FALSE(store.board("k", [](const Outcome&) {}));
}

TEST(Hosts, AsInTheManual) {
  const std::string path = testing::TempDir() + "hosts-" + std::to_string(::getpid());
  std::ofstream(path)
      << "# comment\n192.0.2.1 A.example b.example # c.example\n\n2001:db8::1\ta.example\n"
         "nonsense d.example\n192.0.2.1 a.example\n";
  Hosts hosts;
  read_hosts(path, hosts);
  std::filesystem::remove(path);
  ASSERT_EQ(hosts.size(), 2);
  EXPECT_EQ(hosts["a.example"].size(), 2);
  EXPECT_EQ(hosts["b.example"].front().text(), "192.0.2.1");
}

}  // namespace
}  // namespace hairpin::dns
