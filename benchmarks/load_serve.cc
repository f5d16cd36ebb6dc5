// The server of the load: two threads, each with a loop of its own. Both accept TCP connections on
// the same ports; the first also has the UDP sockets. Each address has sockets of its own, so that
// answers come from the address that was asked.
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <sstream>
#include <thread>
#include <unordered_set>

#include "load.h"
#include "platform/sockets.h"

namespace hairpin::bench {

namespace {

constexpr std::size_t kChunk = 256 * 1024;
constexpr std::size_t kLargestDatagram = 65536;
constexpr std::size_t kReceiveBatch = 64;

/// What the sinks and sources have seen, for the reports. For all threads.
class Tally {
 public:
  void add_tcp(std::uint64_t bytes) { tcp_.fetch_add(bytes, std::memory_order_relaxed); }
  void add_received(std::uint64_t run, std::uint64_t count) {
    const std::scoped_lock lock(mutex_);
    received_[run] += count;
  }
  void add_sent(std::uint64_t run, std::uint64_t count) {
    const std::scoped_lock lock(mutex_);
    sent_[run] += count;
  }
  Report report(std::uint64_t run) {
    const auto now = Clock::now().time_since_epoch();
    const std::scoped_lock lock(mutex_);
    return {std::chrono::nanoseconds(now).count(), tcp_.load(std::memory_order_relaxed),
            received_[run], sent_[run]};
  }

 private:
  std::atomic<std::uint64_t> tcp_ = 0;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::uint64_t> received_;
  std::unordered_map<std::uint64_t, std::uint64_t> sent_;
};

/// A TCP connection of any service.
class Connection final : public Handler {
 public:
  Connection(Loop& loop, Tally& tally, Service service, Fd socket)
      : loop_(loop), tally_(tally), service_(service), socket_(std::move(socket)) {
    platform::set_no_delay(socket_.get());
    loop_.watch(socket_.get(), service_ == kSource ? EPOLLOUT : EPOLLIN, *this);
  }

  void ready(std::uint32_t /*events*/) override {
    const ssize_t moved = move();
    if (moved > 0 || (moved < 0 && errno == EAGAIN)) return;
    socket_.reset();
    loop_.retire(*this);
  }

 private:
  /// One step of the service. Returns what the system call returned.
  ssize_t move() {
    // MSG_TRUNC: the kernel drops the bytes without copying them. What the load does not spend is
    // there for the contenders, on a machine that all share.
    static std::vector<std::byte> zeros(kChunk);
    switch (service_) {
      case kSink: {
        const ssize_t size = ::recv(socket_.get(), nullptr, kChunk, MSG_TRUNC);
        if (size > 0) tally_.add_tcp(static_cast<std::uint64_t>(size));
        return size;
      }
      case kSource:
        return ::send(socket_.get(), zeros.data(), zeros.size(), MSG_NOSIGNAL);
      case kControl: {
        Question question;
        const ssize_t size = ::recv(socket_.get(), &question, sizeof question, 0);
        if (size != sizeof question) return size < 0 ? size : 0;
        const Report report = tally_.report(question.run);
        return ::send(socket_.get(), &report, sizeof report, MSG_NOSIGNAL);
      }
      default: {
        // Clients of the echo wait for their answer, so there is always room for it.
        std::array<std::byte, 16384> bytes;
        const ssize_t size = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
        if (size <= 0) return size;
        return ::send(socket_.get(), bytes.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL);
      }
    }
  }

  Loop& loop_;
  Tally& tally_;
  Service service_;
  Fd socket_;
};

class Listener final : public Handler {
 public:
  Listener(Loop& loop, Tally& tally, Service service, const Endpoint& base)
      : loop_(loop),
        tally_(tally),
        service_(service),
        socket_(listen_tcp(with_offset(base, service))) {
    loop_.watch(socket_.get(), EPOLLIN, *this);
  }
  void ready(std::uint32_t /*events*/) override {
    while (auto client = platform::accept_tcp(socket_.get())) {
      loop_.make<Connection>(loop_, tally_, service_, std::move(client->socket));
    }
  }

 private:
  Loop& loop_;
  Tally& tally_;
  Service service_;
  Fd socket_;
};

/// Datagrams to one client, at the rate that it has ordered, from the socket that it has asked.
class Delivery final : public Handler {
 public:
  Delivery(Loop& loop, Tally& tally, int socket, const Order& order, const sockaddr_storage& to,
           socklen_t to_size)
      : loop_(loop),
        tally_(tally),
        socket_(socket),
        run_(order.stamp.run),
        to_(to),
        to_size_(to_size),
        sender_(order.stamp.run, order.size),
        pacer_(order.rate,
               std::chrono::nanoseconds(static_cast<std::int64_t>(order.seconds * 1e9))),
        timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    check(timer_.get(), "timerfd_create");
    const auto tick = std::chrono::nanoseconds(pacer_.tick()).count();
    const timespec interval{tick / 1'000'000'000, tick % 1'000'000'000};
    const itimerspec setting{interval, interval};
    check(::timerfd_settime(timer_.get(), 0, &setting, nullptr), "timerfd_settime");
    loop_.watch(timer_.get(), EPOLLIN, *this);
  }

  void ready(std::uint32_t /*events*/) override {
    std::uint64_t expired = 0;  // the pacer knows better; but a timer that is not read stands still
    (void)::read(timer_.get(), &expired, sizeof expired);
    const auto now = Clock::now();
    if (pacer_.over(now)) {
      timer_.reset();
      return loop_.retire(*this);
    }
    while (const std::size_t due = pacer_.take(now)) {
      tally_.add_sent(run_, due);
      (void)sender_.send(socket_, due, &to_, to_size_);  // what is not taken is lost on the way
    }
  }

 private:
  Loop& loop_;
  Tally& tally_;
  int socket_;
  std::uint64_t run_;
  sockaddr_storage to_;
  socklen_t to_size_;
  StampedSender sender_;
  Pacer pacer_;
  Fd timer_;
};

/// The three services over UDP.
class UdpService final : public Handler {
 public:
  UdpService(Loop& loop, Tally& tally, Service service, const Endpoint& base)
      : loop_(loop),
        tally_(tally),
        service_(service),
        socket_(bind_udp(with_offset(base, service))),
        // Of what the sink counts only the stamp is taken from the kernel.
        room_(service == kUdpEcho ? kLargestDatagram : sizeof(Order)),
        memory_(kReceiveBatch * room_) {
    for (std::size_t i = 0; i < kReceiveBatch; ++i) vectors_[i].iov_base = &memory_[i * room_];
    loop_.watch(socket_.get(), EPOLLIN, *this);
  }

  void ready(std::uint32_t /*events*/) override {
    for (std::size_t i = 0; i < kReceiveBatch; ++i) {
      vectors_[i].iov_len = room_;
      messages_[i].msg_hdr = {&names_[i], sizeof names_[i], &vectors_[i], 1, nullptr, 0, 0};
    }
    const int count =
        ::recvmmsg(socket_.get(), messages_.data(), kReceiveBatch, MSG_DONTWAIT, nullptr);
    if (count > 0) take(static_cast<std::size_t>(count));
  }

 private:
  void take(std::size_t count) {
    std::uint64_t run = kProbe;
    std::uint64_t of_run = 0;
    for (std::size_t i = 0; i < count; ++i) {
      vectors_[i].iov_len = messages_[i].msg_len;
      if (service_ == kUdpEcho) continue;
      if (messages_[i].msg_len < sizeof(Stamp)) continue;
      Stamp stamp;
      std::memcpy(&stamp, vectors_[i].iov_base, sizeof stamp);
      if (stamp.run == kProbe) {
        send_back(i, 1);
      } else if (service_ == kUdpSource) {
        deliver(i);
      } else {
        if (stamp.run != run) count_run(run, std::exchange(of_run, 0));
        run = stamp.run;
        ++of_run;
      }
    }
    count_run(run, of_run);
    if (service_ == kUdpEcho) send_back(0, count);
  }

  void count_run(std::uint64_t run, std::uint64_t count) {
    if (count > 0) tally_.add_received(run, count);
  }

  void send_back(std::size_t first, std::size_t count) {
    (void)::sendmmsg(socket_.get(), &messages_[first], static_cast<unsigned>(count), MSG_DONTWAIT);
  }

  void deliver(std::size_t index) {
    Order order;
    if (messages_[index].msg_len != sizeof order) return;
    std::memcpy(&order, vectors_[index].iov_base, sizeof order);
    if (!runs_.insert(order.stamp.run).second) return;
    loop_.make<Delivery>(loop_, tally_, socket_.get(), order, names_[index],
                         messages_[index].msg_hdr.msg_namelen);
  }

  Loop& loop_;
  Tally& tally_;
  Service service_;
  Fd socket_;
  std::size_t room_;
  std::vector<std::byte> memory_;
  std::array<mmsghdr, kReceiveBatch> messages_{};
  std::array<iovec, kReceiveBatch> vectors_{};
  std::array<sockaddr_storage, kReceiveBatch> names_{};
  std::unordered_set<std::uint64_t> runs_;
};

[[noreturn]] void run(Tally& tally, const std::vector<Endpoint>& bases, bool with_udp) {
  Loop loop;
  for (const Endpoint& base : bases) {
    for (const Service service : {kSink, kSource, kEcho, kControl}) {
      loop.make<Listener>(loop, tally, service, base);
    }
    if (!with_udp) continue;
    for (const Service service : {kUdpSink, kUdpSource, kUdpEcho}) {
      loop.make<UdpService>(loop, tally, service, base);
    }
  }
  loop.run();
}

}  // namespace

void serve(const Options& options) {
  if (options.words().size() != 3) die("usage: load serve ADDRESS,... BASEPORT");
  std::vector<Endpoint> bases;
  std::istringstream addresses(options.words()[1]);
  for (std::string address; std::getline(addresses, address, ',');) {
    bases.push_back(parse_endpoint(address + ":" + options.words()[2]));
  }
  Tally tally;
  const std::jthread second([&] { run(tally, bases, false); });
  run(tally, bases, true);
}

}  // namespace hairpin::bench
