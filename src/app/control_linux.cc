#include "app/control.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <ctime>

#include "base/asio.h"
#include "base/fd.h"
#include "base/log.h"
#include "platform/descriptor.h"
#include "platform/monitor.h"

namespace hairpin::app {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kQuiet{250};
constexpr milliseconds kPatience{2000};
constexpr milliseconds kTick{500};
/// A sleep, not the clocks' inaccuracy.
constexpr std::int64_t kSleep = 1000;
/// Looking shall not take more than this part of a processor, however often the network changes.
constexpr int kShare = 20;

sigset_t control_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&signals, number);
  return signals;
}

milliseconds processor_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return milliseconds(now.tv_sec * 1000 + now.tv_nsec / 1'000'000);
}

class Control {
 public:
  Control(const Actions& actions, Fd signals, platform::Monitor monitor, Fd requests)
      : actions_(actions),
        monitor_(std::move(monitor)),
        signals_(context_.get_executor(), signals.release()),
        routes_(context_.get_executor(), ::dup(monitor_.routes())),
        tables_(context_.get_executor()),
        requests_(context_.get_executor()),
        settle_(context_.get_executor()),
        watch_(context_.get_executor()) {
    if (monitor_.tables() >= 0) tables_.assign(::dup(monitor_.tables()));
    if (requests) requests_.assign(requests.release());
  }

  void run() {
    wait_signal();
    wait_change(routes_);
    if (tables_.is_open()) wait_change(tables_);
    watch();
    if (requests_.is_open()) wait_request();
    context_.run();
  }

 private:
  void wait_signal() {
    signals_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
      if (ec) return;
      signalfd_siginfo info{};
      if (::read(signals_.native_handle(), &info, sizeof info) == sizeof info) {
        switch (static_cast<int>(info.ssi_signo)) {
          case SIGHUP:
            quietly(actions_.reload);
            break;
          case SIGUSR1:
            actions_.report();
            break;
          default:
            actions_.report();
            return context_.stop();
        }
      }
      wait_signal();
    });
  }

  void wait_request() {
    requests_.async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
      if (ec) return;
      if (auto connection = accept_request(requests_.native_handle())) {
        serve_request(std::move(*connection));
      } else {
        log::warn("request: {}", connection.error().text());
      }
      wait_request();
    });
  }

  /// One message, one answer. Who says nothing keeps a descriptor until another one asks.
  void serve_request(Fd connection) {
    asking_.emplace(context_.get_executor(), connection.release());
    asking_->async_wait(Wait::wait_read, [this](const boost::system::error_code& ec) {
      if (ec) return;
      answer_request(asking_->native_handle(), actions_.answer);
      asking_.reset();
    });
  }

  void wait_change(Descriptor& socket) {
    socket.async_wait(Wait::wait_read, [this, &socket](const boost::system::error_code& ec) {
      if (ec) return;
      changed();
      // What comes meanwhile tells nothing new. It fills the queue, and is thrown away with it.
      auto pause = std::make_shared<Timer>(context_.get_executor(), kQuiet / 5);
      pause->async_wait([this, &socket, pause](const boost::system::error_code& stopped) {
        if (stopped) return;
        platform::Monitor::drain(socket.native_handle());
        wait_change(socket);
      });
    });
  }

  void changed() {
    const auto now = Clock::now();
    if (!unsettled_since_) unsettled_since_ = now;
    const auto due = std::max(std::min(now + kQuiet, *unsettled_since_ + kPatience), earliest_);
    settle_.expires_at(due);
    settle_.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;
      unsettled_since_.reset();
      look();
    });
  }

  void look() {
    const auto before = processor_time();
    actions_.look();
    earliest_ = Clock::now() + (processor_time() - before) * kShare;
  }

  /// What may change much by itself. What others do meanwhile is looked for afterwards.
  void quietly(const std::function<void()>& action) {
    monitor_.hear_tables(false);
    action();
    monitor_.hear_tables(true);
    changed();
  }

  void watch() {
    watch_.expires_after(kTick);
    watch_.async_wait([this](const boost::system::error_code& ec) {
      if (ec) return;
      const std::int64_t asleep = platform::time_asleep();
      if (asleep - asleep_ > kSleep) {
        log::info("this machine was asleep for {} s: looking at everything again",
                  (asleep - asleep_) / 1000);
        look();
      }
      asleep_ = asleep;
      if (actions_.files_changed()) quietly(actions_.read_files);
      if (actions_.tick()) look();
      actions_.tell([this](const std::function<void()>& action) {
        monitor_.hear_tables(false);
        action();
        monitor_.hear_tables(true);
      });
      watch();
    });
  }

  const Actions& actions_;
  asio::io_context context_{1};
  platform::Monitor monitor_;
  Descriptor signals_;
  Descriptor routes_;
  Descriptor tables_;
  Descriptor requests_;
  std::optional<Descriptor> asking_;  ///< Whose request is waited for.
  Timer settle_;
  Timer watch_;
  std::optional<Clock::time_point> unsettled_since_;
  Clock::time_point earliest_;
  std::int64_t asleep_ = platform::time_asleep();
};

}  // namespace

void block_control_signals() {
  const sigset_t signals = control_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Result<> serve_control(const Actions& actions, Fd requests) {
  const sigset_t wanted = control_signals();
  Fd signals(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return last_error("signalfd");
  auto monitor = platform::Monitor::open();
  if (!monitor) return monitor.error();
  Control(actions, std::move(signals), std::move(*monitor), std::move(requests)).run();
  return {};
}

}  // namespace hairpin::app
