// A relay between two connections over loopback, whose far ends are the test's.
#include "relay/tcp_relay.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "support/loopback.h"

namespace hairpin::relay {
namespace {

using namespace std::chrono_literals;
using test::eventually;

class RelayTest : public testing::Test {
 protected:
  RelayTest() {
    auto up = test::connected_pair();
    auto down = test::connected_pair();
    client_ = std::move(up.one);
    server_ = std::move(down.one);
    ours_[0] = std::move(up.other);
    ours_[1] = std::move(down.other);
  }
  ~RelayTest() override {
    worker_.context.stop();
    if (thread_.joinable()) thread_.join();
  }

  void start(Clock::duration idle = 60s) {
    Descriptor client = worker_.watch(std::move(ours_[0])).value();
    outbound::Connection server{worker_.watch(std::move(ours_[1])).value(), {}, {}};
    TcpRelay::start(worker_, Stream{std::move(client)}, std::move(server), idle,
                    [this](const Summary& summary) { ended_.set_value(summary); });
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(worker_.context);
      worker_.context.run();
    });
  }
  Summary ended() {
    auto future = ended_.get_future();
    EXPECT_EQ(future.wait_for(20s), std::future_status::ready);
    return future.get();
  }

  /// Whether the other end of a connection resets it. wine says the end of the stream before, which
  /// recv(2) then goes on saying.
  static bool is_reset(Fd connection) {
    asio::io_context context(1);
    Descriptor descriptor(context.get_executor(), connection.release());
    bool ready = false;
    descriptor.async_wait(Wait::wait_error,
                          [&ready](const boost::system::error_code& ec) { ready = !ec; });
    context.run_for(10s);
    return ready && is_broken(descriptor);
  }
  static std::byte at(std::size_t place) {
    return static_cast<std::byte>(place * 31 + place / 251);
  }
  /// Sends so many bytes of the pattern, and the end.
  static void send_pattern(int socket, std::size_t size) {
    std::vector<std::byte> block(100'000);
    for (std::size_t sent = 0; sent < size;) {
      const std::size_t count = std::min(block.size(), size - sent);
      for (std::size_t i = 0; i < count; ++i) block[i] = at(sent + i);
      const auto taken = platform::send(socket, std::span(block).first(count));
      if (!taken) std::this_thread::sleep_for(50us);
      sent += taken ? *taken : 0;
    }
    platform::shut_down_sending(socket);
  }
  /// Reads to the end. The number of bytes, if they are the pattern; else where they are not.
  static std::size_t receive_pattern(int socket) {
    std::vector<std::byte> block(100'000);
    for (std::size_t received = 0;;) {
      const auto got = platform::receive(socket, block);
      if (!got && !platform::would_block(got.error())) return received;
      if (!got) {
        std::this_thread::sleep_for(50us);
        continue;
      }
      if (*got == 0) return received;
      for (std::size_t i = 0; i < *got; ++i) {
        if (block[i] != at(received + i)) return received + i;
      }
      received += *got;
    }
  }

  LoopGuard guard_;
  Worker worker_{guard_};
  Fd client_;
  Fd server_;
  std::array<Fd, 2> ours_;
  std::promise<Summary> ended_;
  std::thread thread_;
};

TEST_F(RelayTest, CarriesMuchBothWaysAtOnce) {
  constexpr std::size_t kUp = 40'000'003;
  constexpr std::size_t kDown = 60'000'001;
  start();
  std::thread up([&] { send_pattern(client_.get(), kUp); });
  std::thread down([&] { send_pattern(server_.get(), kDown); });
  auto arrived = std::async(std::launch::async, [&] { return receive_pattern(server_.get()); });
  EXPECT_EQ(receive_pattern(client_.get()), kDown);
  EXPECT_EQ(arrived.get(), kUp);
  up.join();
  down.join();
  const Summary summary = ended();
  EXPECT_EQ(summary.ending, Ending::closed);
  EXPECT_EQ(summary.sent, kUp);
  EXPECT_EQ(summary.received, kDown);
}

TEST_F(RelayTest, HalfClosedStaysHalfClosed) {
  start();
  send_pattern(client_.get(), 1000);
  EXPECT_EQ(receive_pattern(server_.get()), 1000U);
  std::this_thread::sleep_for(50ms);
  send_pattern(server_.get(), 200'000);
  EXPECT_EQ(receive_pattern(client_.get()), 200'000U);
  EXPECT_EQ(ended().ending, Ending::closed);
}

TEST_F(RelayTest, AResetArrivesAsAReset) {
  start();
  platform::reset_on_close(client_.get());
  client_.reset();
  EXPECT_TRUE(is_reset(std::move(server_)));
  EXPECT_EQ(ended().ending, Ending::reset);
}

TEST_F(RelayTest, AResetIsNoticedBehindTheEndOfTheStream) {
  start();
  send_pattern(client_.get(), 10);
  EXPECT_EQ(receive_pattern(server_.get()), 10U);
  platform::reset_on_close(client_.get());
  client_.reset();
  EXPECT_EQ(ended().ending, Ending::reset);
}

TEST_F(RelayTest, AResetIsNoticedWhileNobodyReadsTheOtherEnd) {
  start();
  std::vector<std::byte> block(1 << 16);
  // Until all buffers on the way are full.
  auto moved = Clock::now();
  while (Clock::now() - moved < 300ms) {
    if (platform::send(client_.get(), block)) moved = Clock::now();
  }
  platform::reset_on_close(client_.get());
  client_.reset();
  EXPECT_EQ(ended().ending, Ending::reset);
}

TEST_F(RelayTest, SilenceEndsIt) {
  start(300ms);
  EXPECT_EQ(ended().ending, Ending::idle);
  EXPECT_TRUE(is_reset(std::move(server_)));
}

}  // namespace
}  // namespace hairpin::relay
