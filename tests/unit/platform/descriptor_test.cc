// What waiting for a socket means, alike on all systems.
#include "platform/descriptor.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "support/loopback.h"

namespace hairpin {
namespace {

using namespace std::chrono_literals;
using Code = boost::system::error_code;

class DescriptorTest : public testing::Test {
 protected:
  /// One wait, and how it has ended.
  std::shared_ptr<std::optional<Code>> wait(Descriptor& descriptor, Wait::wait_type what) {
    auto ended = std::make_shared<std::optional<Code>>();
    descriptor.async_wait(what, [ended](const Code& ec) { *ended = ec; });
    return ended;
  }
  /// Runs what is ready, until `done` or for some time.
  template <class Done>
  bool run_until(Done done, Clock::duration longest = 10s) {
    const auto until = Clock::now() + longest;
    while (!done() && Clock::now() < until) {
      context_.restart();
      context_.run_for(5ms);
    }
    return done();
  }
  bool ends(const std::shared_ptr<std::optional<Code>>& wait) {
    return run_until([&] { return wait->has_value(); });
  }
  bool stays(const std::shared_ptr<std::optional<Code>>& wait) {
    return !run_until([&] { return wait->has_value(); }, 100ms);
  }
  Descriptor watch(Fd fd) { return Descriptor(context_.get_executor(), fd.release()); }
  static void say(int socket, std::string_view text) {
    EXPECT_EQ(platform::send(socket, std::as_bytes(std::span(text))).value(), text.size());
  }

  asio::io_context context_{1};
};

TEST_F(DescriptorTest, IsReadableWhenThereIsSomethingToRead) {
  auto pair = test::connected_pair();
  Descriptor one = watch(std::move(pair.one));
  const auto read = wait(one, Wait::wait_read);
  EXPECT_TRUE(stays(read));
  say(pair.other.get(), "x");
  ASSERT_TRUE(ends(read));
  EXPECT_FALSE(**read);
  // As long as it is not read.
  const auto again = wait(one, Wait::wait_read);
  ASSERT_TRUE(ends(again));
  std::array<std::byte, 8> buffer;
  EXPECT_EQ(platform::receive(one.native_handle(), buffer).value(), 1U);
  const auto empty = platform::receive(one.native_handle(), buffer);
  ASSERT_FALSE(empty);
  EXPECT_TRUE(platform::would_block(empty.error())) << empty.error().text();
  EXPECT_TRUE(stays(wait(one, Wait::wait_read)));
}

TEST_F(DescriptorTest, IsReadableAtTheEndOfTheStream) {
  auto pair = test::connected_pair();
  Descriptor one = watch(std::move(pair.one));
  const auto read = wait(one, Wait::wait_read);
  platform::shut_down_sending(pair.other.get());
  ASSERT_TRUE(ends(read));
  std::array<std::byte, 8> buffer;
  EXPECT_EQ(platform::receive(one.native_handle(), buffer).value(), 0U);
}

TEST_F(DescriptorTest, IsWritableWhenThereIsRoomAgain) {
  auto pair = test::connected_pair();
  Descriptor one = watch(std::move(pair.one));
  ASSERT_TRUE(ends(wait(one, Wait::wait_write)));
  std::vector<std::byte> block(1 << 16);
  // Until it is full for good: the other end goes on taking for a while.
  ASSERT_TRUE(test::eventually([&] {
    const auto full = platform::send(one.native_handle(), block);
    if (full) return false;
    EXPECT_TRUE(platform::would_block(full.error())) << full.error().text();
    return stays(wait(one, Wait::wait_write));
  }));
  const auto write = wait(one, Wait::wait_write);
  ASSERT_TRUE(run_until([&] {
    (void)platform::receive(pair.other.get(), block);
    return write->has_value();
  }));
  EXPECT_FALSE(**write);
  EXPECT_TRUE(platform::send(one.native_handle(), block));
}

TEST_F(DescriptorTest, IsWritableWhenConnectedOrRefused) {
  test::LoopbackListener listener;
  auto fd = platform::start_connect_tcp(listener.endpoint(), {});
  ASSERT_TRUE(fd);
  Descriptor connecting = watch(std::move(*fd));
  ASSERT_TRUE(ends(wait(connecting, Wait::wait_write)));
  EXPECT_TRUE(platform::connect_outcome(connecting.native_handle(), listener.endpoint()));

  const Endpoint nobody{*IpAddr::parse("127.0.0.1"), 1};
  auto refused = platform::start_connect_tcp(nobody, {});
  if (!refused) {  // told at once
    EXPECT_EQ(refused.error().code, ECONNREFUSED);
    return;
  }
  Descriptor waiting = watch(std::move(*refused));
  ASSERT_TRUE(ends(wait(waiting, Wait::wait_write)));
  const auto outcome = platform::connect_outcome(waiting.native_handle(), nobody);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ECONNREFUSED) << outcome.error().text();
}

TEST_F(DescriptorTest, IsInErrorWhenReset) {
  auto pair = test::connected_pair();
  Descriptor one = watch(std::move(pair.one));
  const auto error = wait(one, Wait::wait_error);
  say(pair.other.get(), "x");
  platform::shut_down_sending(pair.other.get());
  EXPECT_TRUE(stays(error)) << "the end of a stream is no error";
  platform::reset_on_close(pair.other.get());
  pair.other.reset();
  ASSERT_TRUE(ends(error));
  EXPECT_FALSE(**error);
  EXPECT_TRUE(is_broken(one));
}

TEST_F(DescriptorTest, WaitsEndEarly) {
  auto pair = test::connected_pair();
  Descriptor one = watch(std::move(pair.one));
  Code ec;
  const auto cancelled = wait(one, Wait::wait_read);
  const auto beside = wait(one, Wait::wait_error);
  EXPECT_TRUE(stays(cancelled));
  one.cancel(ec);
  ASSERT_TRUE(ends(cancelled));
  ASSERT_TRUE(ends(beside));
  EXPECT_EQ(**cancelled, asio::error::operation_aborted);
  EXPECT_EQ(**beside, asio::error::operation_aborted);

  const auto closed = wait(one, Wait::wait_read);
  one.close(ec);
  ASSERT_TRUE(ends(closed));
  EXPECT_EQ(**closed, asio::error::operation_aborted);
  EXPECT_FALSE(one.is_open());

  auto gone = std::make_shared<std::optional<Code>>();
  {
    Descriptor other = watch(std::move(pair.other));
    other.async_wait(Wait::wait_error, [gone](const Code& code) { *gone = code; });
  }
  ASSERT_TRUE(ends(gone));
  EXPECT_EQ(**gone, asio::error::operation_aborted);
}

TEST_F(DescriptorTest, ReadsAndWritesAreWaitedForSideBySide) {
  auto pair = test::connected_pair();
  Descriptor one = watch(std::move(pair.one));
  const auto read = wait(one, Wait::wait_read);
  const auto write = wait(one, Wait::wait_write);
  ASSERT_TRUE(ends(write));
  EXPECT_FALSE(read->has_value());
  say(pair.other.get(), "x");
  ASSERT_TRUE(ends(read));
}

TEST_F(DescriptorTest, GoesFromOneThreadsContextToAnothers) {
  auto pair = test::connected_pair();
  asio::io_context other(1);
  Descriptor here = watch(std::move(pair.one));
  const auto aborted = wait(here, Wait::wait_read);
  Fd moving(here.release());
  ASSERT_TRUE(ends(aborted));
  Descriptor there(other.get_executor(), moving.release());
  bool ready = false;
  there.async_wait(Wait::wait_read, [&ready](const Code& ec) { ready = !ec; });
  say(pair.other.get(), "x");
  other.run_for(10s);
  EXPECT_TRUE(ready);
}

TEST_F(DescriptorTest, AContextGoesWithTheWaitsThatItHas) {
  auto pair = test::connected_pair();
  bool called = false;
  {
    asio::io_context other(1);
    // As flows do, it lives by the handlers that wait for it.
    const auto held = std::make_shared<Descriptor>(other.get_executor(), pair.one.release());
    held->async_wait(Wait::wait_read, [held, &called](const Code&) { called = true; });
    held->async_wait(Wait::wait_error, [held, &called](const Code&) { called = true; });
    other.run_for(20ms);
  }
  EXPECT_FALSE(called);
}

TEST_F(DescriptorTest, ManyAtATime) {
  constexpr std::size_t kMany = 200;
  std::vector<Fd> far;
  std::vector<std::unique_ptr<Descriptor>> near;
  std::vector<std::shared_ptr<std::optional<Code>>> waits;
  for (std::size_t i = 0; i < kMany; ++i) {
    auto pair = test::connected_pair();
    near.push_back(std::make_unique<Descriptor>(watch(std::move(pair.one))));
    far.push_back(std::move(pair.other));
    waits.push_back(wait(*near.back(), Wait::wait_read));
  }
  for (std::size_t i = 1; i < kMany; i += 2) say(far[i].get(), "x");
  EXPECT_TRUE(ends(waits[kMany - 1]));
  ASSERT_TRUE(run_until([&] {
    std::size_t ready = 0;
    for (const auto& one : waits) ready += one->has_value() ? 1 : 0;
    return ready == kMany / 2;
  }));
  for (std::size_t i = 0; i < kMany; ++i) EXPECT_EQ(waits[i]->has_value(), i % 2 == 1) << i;
}

}  // namespace
}  // namespace hairpin
