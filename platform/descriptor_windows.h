// Waiting for sockets on Windows.
//
// How it works
//
// IOCP tells when an operation has ended, not when one may begin, and Asio's own wait for a
// writable socket is a thread in select(). But the driver behind all sockets (AFD) has an operation
// of its own for select(), IOCTL_AFD_POLL, that is overlapped as any other: it ends when the socket
// is ready, at the completion port. libuv, mio and wepoll have relied on it for years. So a wait
// here is one such operation, issued on a handle to the driver that Asio's port is told about; the
// socket itself is told nothing, and can go from one worker to another.
//
// Such a handle is shared by a few dozen sockets: with one for all, ending an operation early would
// take time in proportion to their number.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/windows/overlapped_ptr.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "base/asio.h"

namespace hairpin {

struct Wait {
  enum wait_type { wait_read, wait_write, wait_error };
};

namespace platform::afd {

/// What is asked, and answered: AFD_POLL_INFO for one socket.
struct Poll {
  LARGE_INTEGER timeout;
  ULONG handles;
  ULONG exclusive;
  HANDLE handle;
  ULONG events;
  LONG status;
};

/// A wait that has begun and not ended.
struct Pending {
  Poll poll{};
  OVERLAPPED* operation = nullptr;
  bool cancelled = false;
};

class Device;  ///< A handle to the driver.

/// What a descriptor and its pending waits share.
struct State {
  std::shared_ptr<Device> device;
  int socket = -1;
  bool aborted = false;  ///< The driver has said so: SO_ERROR does not.
  std::vector<std::shared_ptr<Pending>> pending;

  void cancel_all();
};

/// Whether a wait has ended with the news that the connection is no more.
bool is_abort(const Pending& pending);
/// The handle for one more socket of a context.
std::shared_ptr<Device> device_of(asio::io_context& context, boost::system::error_code& ec);
/// False with an error in `ec`: nothing has begun.
bool begin(State& state, Pending& pending, Wait::wait_type what, boost::system::error_code& ec);

}  // namespace platform::afd

/// For one thread.
class Descriptor {
 public:
  using executor_type = Executor;

  explicit Descriptor(const Executor& executor) : executor_(executor) {}
  /// Throws boost::system::system_error.
  Descriptor(const Executor& executor, int socket) : executor_(executor) { assign(socket); }
  Descriptor(Descriptor&&) noexcept = default;
  Descriptor& operator=(Descriptor&& other) noexcept {
    close_quietly();
    executor_ = other.executor_;
    state_ = std::move(other.state_);
    return *this;
  }
  ~Descriptor() { close_quietly(); }

  const Executor& get_executor() const { return executor_; }
  bool is_open() const { return state_ != nullptr; }
  /// For is_broken.
  bool was_aborted() const { return state_ && state_->aborted; }
  int native_handle() const { return state_ ? state_->socket : -1; }

  /// Takes the socket over, but on an error.
  void assign(int socket, boost::system::error_code& ec);
  void assign(int socket);
  /// Ends all waits, and gives the socket back.
  int release();
  void cancel(boost::system::error_code& ec);
  void close(boost::system::error_code& ec);

  /// One wait; several may run side by side. Completes with operation_aborted when it is ended
  /// early, and else when the socket is ready, or may be.
  template <class Token>
  auto async_wait(Wait::wait_type what, Token&& token) {
    return asio::async_initiate<Token, void(boost::system::error_code)>(
        [this](auto handler, Wait::wait_type wanted) { start(wanted, std::move(handler)); }, token,
        what);
  }

 private:
  template <class Handler>
  void start(Wait::wait_type what, Handler handler) {
    const auto pending = std::make_shared<platform::afd::Pending>();
    const std::shared_ptr<platform::afd::State> state = state_;
    asio::windows::overlapped_ptr operation(
        executor_, [state, pending, done = std::move(handler)](const boost::system::error_code& ec,
                                                               std::size_t) mutable {
          if (state) std::erase(state->pending, pending);
          pending->operation = nullptr;
          if (pending->cancelled) return done(asio::error::operation_aborted);
          if (state && platform::afd::is_abort(*pending)) state->aborted = true;
          // The driver's own complaint is one about the socket: whoever uses it will find it.
          done(state ? boost::system::error_code() : ec);
        });
    boost::system::error_code ec = asio::error::bad_descriptor;
    if (state) {
      pending->operation = operation.get();
      if (platform::afd::begin(*state, *pending, what, ec)) {
        state->pending.push_back(pending);
        operation.release();
        return;
      }
    }
    operation.complete(ec, 0);
  }
  void close_quietly() {
    boost::system::error_code ignored;
    close(ignored);
  }

  Executor executor_;
  std::shared_ptr<platform::afd::State> state_;
};

inline bool is_broken(Descriptor& descriptor) {
  return descriptor.was_aborted();
}

}  // namespace hairpin
