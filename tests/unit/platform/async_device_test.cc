// The device for Asio, on a socket pair: callbacks, coroutines, futures, cancellation, shutdown.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "base/fd.h"
#include "platform/device/async.h"
#include "support/packets.h"

namespace hairpin::device {
namespace {

using namespace hairpin::test;  // NOLINT(google-build-using-namespace)
namespace asio = boost::asio;
using std::chrono::milliseconds;
using ErrorCode = boost::system::error_code;

const Bytes kPacket = udp({ip("192.0.2.1"), 4000}, {ip("203.0.113.9"), 53}, 50);

class AsyncDeviceTest : public testing::Test {
 protected:
  AsyncDeviceTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()), 0);
    other_ = Fd(ends[1]);
    auto adopted = Device::adopt(ends[0], {.framing = Framing::bare});
    device_.emplace(AsyncDevice::create(context_.get_executor(), std::move(*adopted)).value());
  }
  void give(const Bytes& packet) {
    ASSERT_EQ(::write(other_.get(), packet.data(), packet.size()),
              static_cast<ssize_t>(packet.size()));
  }

  asio::io_context context_;
  Fd other_;
  std::optional<AsyncDevice> device_;
  Bytes buffer_ = Bytes(2000);
};

TEST_F(AsyncDeviceTest, NothingCompletesInTheCallThatStartsIt) {
  give(kPacket);
  bool done = false;
  device_->async_read(buffer_, [&](ErrorCode error, std::size_t size) {
    EXPECT_FALSE(error);
    EXPECT_EQ(size, kPacket.size());
    done = true;
  });
  EXPECT_FALSE(done);
  context_.run();
  EXPECT_TRUE(done);
  EXPECT_TRUE(std::equal(kPacket.begin(), kPacket.end(), buffer_.begin()));
}

TEST_F(AsyncDeviceTest, AReadWaitsForAPacket) {
  auto size = device_->async_read(buffer_, asio::use_future);
  context_.run_for(milliseconds{20});
  EXPECT_EQ(size.wait_for(milliseconds{0}), std::future_status::timeout);
  give(kPacket);
  context_.run();
  EXPECT_EQ(size.get(), kPacket.size());
}

TEST_F(AsyncDeviceTest, WritesAndBatches) {
  Bytes got(2000);
  Batch batch(8, 2000);
  std::size_t in_batch = 0;
  asio::co_spawn(
      context_,
      [&]() -> asio::awaitable<void> {
        EXPECT_EQ(co_await device_->async_write(kPacket, asio::use_awaitable), kPacket.size());
        const std::array<std::span<const std::byte>, 2> two{kPacket, kPacket};
        EXPECT_EQ(co_await device_->async_write_batch(two, asio::use_awaitable), 2U);
        for (int i = 0; i < 3; ++i) {
          EXPECT_EQ(::read(other_.get(), got.data(), got.size()),
                    static_cast<ssize_t>(kPacket.size()));
        }
        give(kPacket);
        give(kPacket);
        in_batch = co_await device_->async_read_batch(batch, asio::use_awaitable);
      },
      asio::detached);
  context_.run();
  EXPECT_EQ(in_batch, 2U);
  EXPECT_EQ(batch[1].size(), kPacket.size());
}

TEST_F(AsyncDeviceTest, AWriteWaitsForRoom) {
  while (device_->device().write(kPacket, kDoNotWait)) continue;  // until the other end is full
  auto size = device_->async_write(kPacket, asio::use_future);
  context_.run_for(milliseconds{20});
  EXPECT_EQ(size.wait_for(milliseconds{0}), std::future_status::timeout);
  Bytes got(2000);
  while (::recv(other_.get(), got.data(), got.size(), MSG_DONTWAIT) > 0) continue;
  context_.run();
  EXPECT_EQ(size.get(), kPacket.size());
}

TEST_F(AsyncDeviceTest, ATimerEndsARead) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT(google-build-using-namespace)
  std::size_t first = 9;
  asio::co_spawn(
      context_,
      [&]() -> asio::awaitable<void> {
        asio::steady_timer timer(context_, milliseconds{20});
        const auto outcome = co_await (device_->async_read(buffer_, asio::use_awaitable) ||
                                       timer.async_wait(asio::use_awaitable));
        first = outcome.index();
      },
      asio::detached);
  context_.run();
  EXPECT_EQ(first, 1U);
  give(kPacket);  // the cancelled read has taken nothing
  EXPECT_EQ(device_->device().read(buffer_, kDoNotWait).value(), kPacket.size());
}

TEST_F(AsyncDeviceTest, CancelledBySlotAndByTheDevice) {
  asio::cancellation_signal signal;
  std::vector<ErrorCode> errors;
  const auto note = [&](ErrorCode error, std::size_t) { errors.push_back(error); };
  device_->async_read(buffer_, asio::bind_cancellation_slot(signal.slot(), note));
  device_->async_read(buffer_, note);
  signal.emit(asio::cancellation_type::total);
  context_.poll();
  EXPECT_EQ(errors, std::vector<ErrorCode>{asio::error::operation_aborted});
  device_->cancel();
  context_.run();
  EXPECT_EQ(errors.size(), 2U);
  EXPECT_EQ(errors.back(), asio::error::operation_aborted);
}

TEST_F(AsyncDeviceTest, ShutdownFromAnotherThread) {
  std::vector<ErrorCode> errors;
  const auto note = [&](ErrorCode error, std::size_t) { errors.push_back(error); };
  for (int i = 0; i < 3; ++i) device_->async_read(buffer_, note);
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds{20});
    device_->shutdown();
  });
  context_.run();
  other.join();
  device_->async_read(buffer_, note);
  context_.restart();
  context_.run();
  EXPECT_EQ(errors, std::vector<ErrorCode>(4, asio::error::shut_down));
}

TEST_F(AsyncDeviceTest, AnErrorIsAnErrorCode) {
  give(kPacket);
  ErrorCode seen;
  device_->async_read(std::span(buffer_).first(10),
                      [&](ErrorCode error, std::size_t) { seen = error; });
  context_.run();
  EXPECT_EQ(seen, asio::error::message_size);
}

TEST_F(AsyncDeviceTest, TheDeviceMayGoWhileSomebodyWaits) {
  ErrorCode seen;
  device_->async_read(buffer_, [&](ErrorCode error, std::size_t) { seen = error; });
  device_->cancel();
  device_.reset();
  context_.run();
  EXPECT_EQ(seen, asio::error::operation_aborted);
}

}  // namespace
}  // namespace hairpin::device
