#include "outbound/dialer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "support/packets.h"

namespace hairpin::outbound {
namespace {

using namespace std::chrono_literals;

TEST(Addresses, ByTurns) {
  const auto ip = [](const char* text) { return test::ip(text); };
  EXPECT_EQ(
      by_turns({ip("::1"), ip("::2"), ip("::3"), ip("127.0.0.1"), ip("127.0.0.2")}),
      (std::vector<IpAddr>{ip("::1"), ip("127.0.0.1"), ip("::2"), ip("127.0.0.2"), ip("::3")}));
  EXPECT_EQ(by_turns({ip("127.0.0.1"), ip("::1")}),
            (std::vector<IpAddr>{ip("127.0.0.1"), ip("::1")}));
}

/// Addresses of loopback, all on one port: some listen, some are full, others refuse.
class DialTest : public testing::Test {
 protected:
  Fd listen(const char* address, int backlog) {
    Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_storage name{};
    const socklen_t size = Endpoint{test::ip(address), port_}.to_sockaddr(name);
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
    EXPECT_EQ(::listen(listener.get(), backlog), 0);
    port_ = platform::local_port(listener.get()).value();
    return listener;
  }

  /// Nobody accepts, and there is no room to wait: a SYN gets no answer.
  Fd listen_full(const char* address) {
    Fd listener = listen(address, 0);
    for (int i = 0; i < 4; ++i) {
      auto waiting = platform::start_connect_tcp({test::ip(address), port_}, {});
      EXPECT_TRUE(waiting);
      waiting_.push_back(std::move(*waiting));
    }
    return listener;
  }

  Result<Connection> dial_all(std::vector<IpAddr> addresses) {
    worker_.resolver.remember("name.test", std::move(addresses));
    options_.connect_timeout = 1500ms;
    const config::Server server{"name.test", port_};
    std::optional<Result<Connection>> outcome;
    const auto start = Clock::now();
    asio::co_spawn(
        worker_.executor(),
        [&]() -> Task<> {
          outcome = co_await dial(worker_, server, options_);
          took_ = Clock::now() - start;
        },
        asio::detached);
    while (!outcome && Clock::now() - start < 10s) {
      worker_.context.restart();
      worker_.context.run_for(10ms);
    }
    return std::move(*outcome);
  }

  static std::string peer(const Connection& connection) {
    auto& socket = const_cast<Connection&>(connection).socket;
    return platform::peer_endpoint(socket.native_handle()).value().address.text();
  }

  std::uint16_t port_ = 0;
  std::vector<Fd> waiting_;
  LoopGuard guard_;
  Worker worker_{guard_};
  DialOptions options_;
  Clock::duration took_{};
};

TEST_F(DialTest, TheNextAddressBesideASilentOne) {
  const Fd good = listen("127.0.0.3", 8);
  const Fd full = listen_full("127.0.0.2");
  const auto connection = dial_all({test::ip("127.0.0.2"), test::ip("127.0.0.3")});
  ASSERT_TRUE(connection) << connection.error().text();
  EXPECT_EQ(peer(*connection), "127.0.0.3");
  EXPECT_GE(took_, 290ms);
  EXPECT_LT(took_, 900ms);
}

TEST_F(DialTest, TheNextAddressAtOnceWhereOneRefuses) {
  const Fd good = listen("127.0.0.3", 8);
  // Were each of them given its time, the last would be asked after two seconds.
  const auto connection =
      dial_all({test::ip("127.0.0.4"), test::ip("127.0.0.5"), test::ip("127.0.0.6"),
                test::ip("127.0.0.7"), test::ip("127.0.0.8"), test::ip("127.0.0.9"),
                test::ip("127.0.0.10"), test::ip("127.0.0.3")});
  ASSERT_TRUE(connection) << connection.error().text();
  EXPECT_EQ(peer(*connection), "127.0.0.3");
  EXPECT_LT(took_, 1500ms);
}

TEST_F(DialTest, AllFail) {
  const Fd full = listen_full("127.0.0.2");
  auto connection = dial_all({test::ip("127.0.0.2"), test::ip("127.0.0.4")});
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().code, ETIMEDOUT) << connection.error().text();
  EXPECT_GE(took_, 1500ms);
  connection = dial_all({test::ip("127.0.0.4"), test::ip("127.0.0.5")});
  EXPECT_EQ(connection.error().code, ECONNREFUSED) << connection.error().text();
}

TEST_F(DialTest, SourceAddress) {
  options_.reuse_address = true;
  options_.source4 = test::ip("192.0.2.1");  // not applied to loopback
  const Fd good = listen("127.0.0.3", 8);
  EXPECT_TRUE(dial_all({test::ip("127.0.0.3")}));
  EXPECT_EQ(options_.binding(worker_, test::ip("203.0.113.1")).source, test::ip("192.0.2.1"));
  EXPECT_EQ(options_.binding(worker_, test::ip("2001:db8::1")).source, std::nullopt);
}

}  // namespace
}  // namespace hairpin::outbound
