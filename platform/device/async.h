// A device for Boost.Asio: the same calls, which complete instead of waiting. Any completion token
// will do (callbacks, coroutines, futures), cancellation slots too. The error codes are the errno
// values of device.h; operation_aborted when cancelled, shut_down after `shutdown`.
//
//   auto device = AsyncDevice::create(context.get_executor(), std::move(*opened));
//   std::size_t size = co_await device->async_read(packet, asio::use_awaitable);
//
// Buffers stay alive and untouched until the operation completes. Like Asio's own objects, one
// AsyncDevice is for one thread or strand at a time; only `shutdown` may be called from anywhere.
#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "platform/device/device.h"
#include "platform/device/readiness.h"

namespace hairpin::device {

class AsyncDevice {
 public:
  using executor_type = boost::asio::any_io_executor;

  static Result<AsyncDevice> create(const executor_type& executor, Device device) {
    auto state = std::make_shared<State>(State{std::move(device), nullptr, executor});
    auto readiness = Readiness::create(executor, state->device);
    if (!readiness) return readiness.error();
    state->readiness = std::move(*readiness);
    return AsyncDevice(std::move(state));
  }

  executor_type get_executor() const { return state_->executor; }
  /// Its settings, and calls that do not wait.
  Device& device() { return state_->device; }

  /// void(error_code, std::size_t): bytes of the packet.
  template <class Token>
  auto async_read(std::span<std::byte> packet, Token&& token) {
    return start(
        Readiness::Direction::read,
        [packet](Device& device) { return device.read(packet, kDoNotWait); },
        std::forward<Token>(token));
  }
  template <class Token>
  auto async_read(std::span<std::byte> packet, nat::VnetHeader& header, Token&& token) {
    return start(
        Readiness::Direction::read,
        [packet, &header](Device& device) { return device.read(packet, header, kDoNotWait); },
        std::forward<Token>(token));
  }
  /// void(error_code, std::size_t): packets in the batch.
  template <class Token>
  auto async_read_batch(Batch& batch, Token&& token) {
    return start(
        Readiness::Direction::read,
        [&batch](Device& device) { return device.read_batch(batch, kDoNotWait); },
        std::forward<Token>(token));
  }
  /// void(error_code, std::size_t): bytes of the packet.
  template <class Token>
  auto async_write(std::span<const std::byte> packet, Token&& token) {
    return async_write(packet, nat::VnetHeader{}, std::forward<Token>(token));
  }
  template <class Token>
  auto async_write(std::span<const std::byte> packet, const nat::VnetHeader& header,
                   Token&& token) {
    const auto write = [packet, header](Device& device) -> Result<std::size_t> {
      auto written = device.write(packet, header, kDoNotWait);
      if (!written) return written.error();
      return packet.size();
    };
    return start(Readiness::Direction::write, write, std::forward<Token>(token));
  }
  /// void(error_code, std::size_t): packets that the device has taken.
  template <class Token>
  auto async_write_batch(std::span<const std::span<const std::byte>> packets, Token&& token) {
    return start(
        Readiness::Direction::write,
        [packets](Device& device) { return device.write_batch(packets, kDoNotWait); },
        std::forward<Token>(token));
  }

  /// Ends what waits.
  void cancel() { state_->readiness->cancel(); }
  /// Ends what waits and what will come. From any thread.
  void shutdown() {
    state_->device.shutdown();
    boost::asio::post(state_->executor, [state = state_] { state->readiness->cancel(); });
  }

 private:
  struct State {
    Device device;
    std::unique_ptr<Readiness> readiness;  ///< Goes before the device.
    executor_type executor;
  };

  template <class Self>
  class Resume final : public Readiness::Completion {
   public:
    Resume(Self self, executor_type executor)
        : self_(std::move(self)), executor_(std::move(executor)) {}
    void complete(boost::system::error_code error) override {
      const auto executor = boost::asio::get_associated_executor(self_, executor_);
      boost::asio::dispatch(executor, [self = std::move(self_), error]() mutable { self(error); });
    }
    boost::asio::cancellation_slot slot() const override {
      return boost::asio::get_associated_cancellation_slot(self_);
    }

   private:
    Self self_;
    executor_type executor_;
  };

  /// Tries; waits where there is nothing to do yet; tries again.
  template <class Attempt>
  struct Operation {
    std::shared_ptr<State> state;
    Readiness::Direction direction;
    Attempt attempt;
    enum class Stage : std::uint8_t { begun, waiting, done } stage = Stage::begun;
    boost::system::error_code error = {};
    std::size_t result = 0;

    template <class Self>
    void operator()(Self& self, boost::system::error_code waited = {}) {
      if (stage == Stage::done) return self.complete(error, result);
      if (stage == Stage::begun) {
        self.reset_cancellation_state(boost::asio::enable_total_cancellation());
      }
      if (waited || !try_now()) return waited ? self.complete(reason(waited), 0) : wait(self);
      if (stage == Stage::waiting) return self.complete(error, result);
      // Nothing completes within the call that starts it.
      stage = Stage::done;
      const executor_type executor = state->executor;
      boost::asio::post(executor, std::move(self));
    }

   private:
    boost::system::error_code reason(boost::system::error_code waited) const {
      return state->device.is_shut_down() ? boost::asio::error::shut_down : waited;
    }
    /// False: it would have to wait.
    bool try_now() {
      auto outcome = attempt(state->device);
      if (!outcome && outcome.error().code == EAGAIN) return false;
      if (outcome) {
        result = *outcome;
      } else {
        error.assign(outcome.error().code, boost::system::system_category());
      }
      return true;
    }
    template <class Self>
    void wait(Self& self) {
      stage = Stage::waiting;
      const std::shared_ptr<State> kept = state;
      const Readiness::Direction side = direction;
      kept->readiness->wait(side, std::make_unique<Resume<Self>>(std::move(self), kept->executor));
    }
  };

  explicit AsyncDevice(std::shared_ptr<State> state) : state_(std::move(state)) {}

  template <class Attempt, class Token>
  auto start(Readiness::Direction direction, Attempt attempt, Token&& token) {
    return boost::asio::async_compose<Token, void(boost::system::error_code, std::size_t)>(
        Operation<Attempt>{state_, direction, std::move(attempt)}, token, state_->executor);
  }

  std::shared_ptr<State> state_;
};

}  // namespace hairpin::device
