#include "dns/message_stream.h"

#include <array>
#include <utility>

#include "platform/stream.h"

namespace hairpin::dns {

namespace {

constexpr std::size_t kMaxUnsent = std::size_t{1} << 20;

}  // namespace

MessageStream::MessageStream(Worker& worker, outbound::Connection connection)
    : worker_(worker), connection_(std::move(connection)) {
  for (const std::byte byte : connection_.early) {
    received_.push_back(std::to_integer<std::uint8_t>(byte));
  }
}

std::optional<Bytes> MessageStream::take_message() {
  if (received_.size() < 2) return std::nullopt;
  const std::size_t size = std::size_t{received_[0]} << 8 | received_[1];
  if (received_.size() < 2 + size) return std::nullopt;
  const auto begin = received_.begin() + 2;
  Bytes message(begin, begin + static_cast<std::ptrdiff_t>(size));
  received_.erase(received_.begin(), begin + static_cast<std::ptrdiff_t>(size));
  return message;
}

Task<Result<>> MessageStream::receive_more(const Deadline& deadline) {
  for (;;) {
    auto [ec] = co_await socket_.async_wait(Wait::wait_read, kAsTuple);
    if (deadline.expired()) co_return Error{"receive", ETIMEDOUT};
    if (ec || !is_open()) co_return Error{"receive", ECANCELED};
    std::array<std::uint8_t, 4096> block;
    const auto got =
        platform::receive(socket_.native_handle(), std::as_writable_bytes(std::span(block)));
    if (!got && platform::would_block(got.error())) continue;
    if (!got) co_return Error("receive", got.error().code);
    if (*got == 0) co_return Error{"the connection was closed"};
    received_.insert(received_.end(), block.begin(),
                     block.begin() + static_cast<std::ptrdiff_t>(*got));
    co_return Result<>();
  }
}

Task<Result<Bytes>> MessageStream::receive(Clock::duration idle) {
  const auto self = shared_from_this();
  const Deadline deadline(worker_.watchdog, socket_, idle);
  for (;;) {
    if (auto message = take_message()) co_return std::move(*message);
    if (auto more = co_await receive_more(deadline); !more) co_return more.error();
  }
}

Task<Result<Bytes>> MessageStream::receive_bytes(Clock::duration idle) {
  const auto self = shared_from_this();
  const Deadline deadline(worker_.watchdog, socket_, idle);
  if (received_.empty()) {
    if (auto more = co_await receive_more(deadline); !more) co_return more.error();
  }
  co_return std::exchange(received_, {});
}

void MessageStream::send(View message) {
  const std::array<std::uint8_t, 2> size{static_cast<std::uint8_t>(message.size() >> 8),
                                         static_cast<std::uint8_t>(message.size())};
  unsent_.insert(unsent_.end(), size.begin(), size.end());
  send_bytes(message);
}

void MessageStream::send_bytes(View bytes) {
  if (!is_open()) return;
  if (unsent_.size() > kMaxUnsent) return close();
  unsent_.insert(unsent_.end(), bytes.begin(), bytes.end());
  if (writing_) return;
  writing_ = true;
  asio::co_spawn(worker_.executor(), write_all(), asio::detached);
}

Task<> MessageStream::write_all() {
  const auto self = shared_from_this();
  while (is_open() && !unsent_.empty()) {
    const auto sent = platform::send(socket_.native_handle(), std::as_bytes(std::span(unsent_)));
    if (sent) {
      unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(*sent));
      continue;
    }
    if (!platform::would_block(sent.error())) {
      close();
      break;
    }
    (void)co_await socket_.async_wait(Wait::wait_write, kAsTuple);
    // A reader's deadline cancels all waits; the next turn tells what is the matter.
  }
  writing_ = false;
}

Task<> MessageStream::finish() {
  constexpr auto kPatience = std::chrono::seconds(2);
  const auto self = shared_from_this();
  const auto until = Clock::now() + kPatience;
  Timer pause(worker_.executor());
  while (writing_ && is_open() && Clock::now() < until) {
    pause.expires_after(std::chrono::milliseconds(20));
    (void)co_await pause.async_wait(kAsTuple);
  }
  close();
}

void MessageStream::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace hairpin::dns
