// The load of all measurements, client and server in one program, so that every contender gets the
// same. `load` without arguments lists what it can do. Each client prints one line of JSON.
//
// The clients are made to cost little: what they spend is taken from the contender, on a machine
// that all share. Received bytes are dropped in the kernel (MSG_TRUNC), connections end with a
// reset, so that none stays in TIME_WAIT and ports do not run out, and UDP goes in batches. With
// --socks the client itself speaks SOCKS5, greeting and request in one segment: the ceiling for a
// program that speaks it on behalf of others.
#include "load.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <thread>

#include "platform/sockets.h"
#include "wire/socks5.h"

namespace hairpin::bench {

namespace {

constexpr const char* kUsage =
    R"(load serve ADDRESS,... BASEPORT
load tcp     --to A:P --down|--up [--streams N] [--seconds S] [--socks A:P]
load connect --to A:P [--inflight N] [--seconds S | --count N] [--socks A:P]
load rtt     --to A:P [--count N] [--size B] [--udp] [--socks A:P]
load udp     --to A:P --down|--up [--size B] [--rate R] [--seconds S] [--socks A:P]
load hold    --to A:P [--flows N] [--socks A:P]
P is the BASEPORT of the server.)";

constexpr double kPatience = 5;                    ///< Seconds for any single answer.
constexpr std::chrono::milliseconds kWarmUp{300};  ///< Slow start, and the first splice pipes.
constexpr std::size_t kWrite = 128 * 1024;
constexpr std::size_t kRead = 256 * 1024;

using Bytes = std::vector<std::byte>;

// ---- ways to the server -------------------------------------------------------------------------

/// Greeting and request in one segment.
Bytes socks_opening(socks5::Command command, const Endpoint& target) {
  Bytes bytes = socks5::greeting(false);
  const Bytes request = socks5::request(command, {{}, target});
  bytes.insert(bytes.end(), request.begin(), request.end());
  return bytes;
}

/// What the server has answered to an opening: method and reply. Empty: incomplete.
Result<std::optional<socks5::Reply>> parse_socks_answer(std::span<const std::byte> received) {
  const auto method = socks5::parse_method(received);
  if (!method) return method.error();
  if (!*method) return std::nullopt;
  const auto reply = socks5::parse_reply(received.subspan((*method)->size));
  if (!reply) return reply.error();
  if (!*reply) return std::nullopt;
  const socks5::Reply& answer = (*reply)->value;
  if (answer.code != 0) return Error{"SOCKS5: " + socks5::reply_text(answer.code)};
  return answer;
}

/// Leads to one server: as the programs do that know nothing of proxies, or through SOCKS5.
class Way {
 public:
  explicit Way(const Options& options) : server_(options.endpoint("to")) {
    if (options.has("socks")) proxy_ = options.endpoint("socks");
  }

  Endpoint target(Service service) const { return with_offset(server_, service); }
  /// Where a TCP connection really goes, and what has to be said on it first.
  Endpoint first_hop(Service service) const { return proxy_ ? *proxy_ : target(service); }
  Bytes opening(Service service) const {
    return proxy_ ? socks_opening(socks5::Command::connect, target(service)) : Bytes{};
  }

  /// A connection that is up as far as its other end.
  Result<Fd> connect(Service service) const {
    auto socket = connect_tcp(first_hop(service), kPatience);
    if (!socket || !proxy_) return socket;
    const auto reply = open_socks(socket->get(), socks5::Command::connect, target(service));
    if (!reply) return reply.error();
    return socket;
  }

  /// The blocking half of a SOCKS5 handshake.
  static Result<socks5::Reply> open_socks(int socket, socks5::Command command,
                                          const Endpoint& target) {
    const Bytes opening = socks_opening(command, target);
    if (::send(socket, opening.data(), opening.size(), MSG_NOSIGNAL) < 0) return last_error("send");
    Bytes received;
    for (;;) {
      // Byte by byte: what follows the answer belongs to the flow.
      std::byte next{};
      const ssize_t size = ::recv(socket, &next, 1, 0);
      if (size == 0) return Error{"the proxy has closed the connection"};
      if (size < 0) return last_error("recv");
      received.push_back(next);
      const auto answer = parse_socks_answer(received);
      if (!answer) return answer.error();
      if (*answer) return **answer;
    }
  }

  bool through_proxy() const { return proxy_.has_value(); }
  const std::optional<Endpoint>& proxy() const { return proxy_; }

 private:
  Endpoint server_;
  std::optional<Endpoint> proxy_;
};

/// A connected UDP socket; with SOCKS5, its association and the header before each datagram.
class UdpWay {
 public:
  UdpWay(const Way& way, Service service) {
    Endpoint hop = way.target(service);
    if (way.through_proxy()) {
      control_ = must(connect_tcp(*way.proxy(), kPatience));
      const auto reply =
          must(Way::open_socks(control_.get(), socks5::Command::udp_associate, Endpoint{}));
      prefix_.resize(socks5::kMaxUdpHeader);
      prefix_.resize(socks5::write_udp_header({{}, hop}, prefix_));
      hop = reply.bound.endpoint;
      if (hop.address.is_unspecified()) hop.address = way.proxy()->address;
    }
    sockaddr_storage address{};
    const socklen_t size = hop.to_sockaddr(address);
    socket_ = Fd(::socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    check(socket_.get(), "socket");
    check(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), size), "connect");
    grow_buffers(socket_.get());
  }

  int socket() const { return socket_.get(); }
  /// What stands before each payload, both ways. Its length is the same for all IPv4 addresses.
  std::span<const std::byte> prefix() const { return prefix_; }

  void send(std::span<const std::byte> payload) const {
    std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(prefix_.data()), prefix_.size()},
                               iovec{const_cast<std::byte*>(payload.data()), payload.size()}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    (void)::sendmsg(socket_.get(), &message, 0);
  }

  /// The stamp of the next datagram; empty when none came within `seconds`.
  std::optional<Stamp> receive(double seconds) {
    pollfd ready{socket_.get(), POLLIN, 0};
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    for (;;) {
      const auto left = std::chrono::duration<double, std::milli>(end - Clock::now()).count();
      if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left) + 1) <= 0) return std::nullopt;
      const ssize_t size = ::recv(socket_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      Stamp stamp;
      if (size < static_cast<ssize_t>(prefix_.size() + sizeof stamp)) continue;
      std::memcpy(&stamp, &buffer_[prefix_.size()], sizeof stamp);
      return stamp;
    }
  }

  /// Asks until the server answers: who is behind an association that is still being opened must
  /// not be said to lose datagrams.
  bool open() {
    for (int i = 0; i < 20; ++i) {
      const Stamp probe{kProbe, 0};
      send(std::as_bytes(std::span(&probe, 1)));
      if (receive(0.2)) return true;
    }
    return false;
  }

 private:
  Fd control_;
  Fd socket_;
  Bytes prefix_;
  std::array<std::byte, 65536> buffer_;
};

/// What the server has counted.
class Control {
 public:
  explicit Control(const Way& way) : socket_(must(way.connect(kControl))) {}
  Report ask(std::uint64_t run = 0) {
    const Question question{run};
    Report report;
    if (::send(socket_.get(), &question, sizeof question, MSG_NOSIGNAL) != sizeof question ||
        ::recv(socket_.get(), &report, sizeof report, MSG_WAITALL) != sizeof report) {
      die("the server does not report");
    }
    return report;
  }

 private:
  Fd socket_;
};

/// Microseconds, of which `share` are not longer.
double quantile(std::vector<double>& samples, double share) {
  if (samples.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1));
  std::ranges::nth_element(samples, samples.begin() + static_cast<std::ptrdiff_t>(at));
  return samples[at];
}

double microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

std::chrono::nanoseconds to_duration(double seconds) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

bool is_up(const Options& options) {
  if (options.has("up") == options.has("down")) die("either --up or --down");
  return options.has("up");
}

// ---- tcp ----------------------------------------------------------------------------------------

/// Throughput: a thread and a blocking socket for each stream. Both ways it is the receiver who
/// counts: what was written may still be in a buffer, of which there are three on the way.
void measure_tcp(const Options& options) {
  const Way way(options);
  const bool up = is_up(options);
  const double seconds = options.number("seconds", 2);
  const auto streams = static_cast<std::size_t>(options.number("streams", 1));

  Control control(way);
  std::vector<Fd> sockets;
  for (std::size_t i = 0; i < streams; ++i) {
    sockets.push_back(must(way.connect(up ? kSink : kSource)));
    set_timeout(sockets.back().get(), 0);
  }
  std::atomic<std::uint64_t> received = 0;
  std::atomic<std::size_t> broken = 0;
  std::atomic<bool> over = false;
  struct Reading {
    double seconds = 0;
    std::uint64_t bytes = 0;
  };
  const auto read = [&]() -> Reading {
    if (up) {
      const Report report = control.ask();
      return {static_cast<double>(report.nanoseconds) / 1e9, report.tcp_received};
    }
    return {std::chrono::duration<double>(Clock::now().time_since_epoch()).count(),
            received.load(std::memory_order_relaxed)};
  };
  const auto stream = [&](int socket) {
    const Bytes zeros(kWrite);
    for (;;) {
      const ssize_t size = up ? ::send(socket, zeros.data(), zeros.size(), MSG_NOSIGNAL)
                              : ::recv(socket, nullptr, kRead, MSG_TRUNC);
      if (size <= 0) break;
      if (!up) received.fetch_add(static_cast<std::uint64_t>(size), std::memory_order_relaxed);
    }
    if (!over) ++broken;
  };

  const Reading start = read();
  std::vector<std::jthread> threads;
  for (const Fd& socket : sockets) threads.emplace_back(stream, socket.get());
  std::this_thread::sleep_for(kWarmUp);
  const Reading first = read();
  std::this_thread::sleep_for(to_duration(seconds));
  const Reading last = read();
  over = true;
  for (const Fd& socket : sockets) ::shutdown(socket.get(), SHUT_RDWR);
  threads.clear();
  for (const Fd& socket : sockets) platform::reset_on_close(socket.get());

  const double bits = 8 * static_cast<double>(last.bytes - first.bytes);
  std::printf(R"({"gbits": %.3f, "bytes": %llu, "broken": %zu})"
              "\n",
              bits / (last.seconds - first.seconds) / 1e9,
              static_cast<unsigned long long>(last.bytes - start.bytes), broken.load());
}

// ---- connect ------------------------------------------------------------------------------------

/// Connections that are made, carry one byte each way, and are reset, again and again.
class Dialer {
 public:
  Dialer(const Way& way, std::size_t in_flight, std::uint64_t most, Clock::time_point end)
      : target_(way.first_hop(kEcho)),
        opening_(way.opening(kEcho)),
        attempts_(in_flight),
        most_(most),
        end_(end),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    check(epoll_.get(), "epoll_create1");
  }

  void run() {
    for (Attempt& attempt : attempts_) begin(attempt);
    std::array<epoll_event, 64> events;
    auto swept = Clock::now();
    while (running_ > 0) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), 100);
      for (int i = 0; i < count; ++i) {
        Attempt& attempt = attempts_[events[static_cast<std::size_t>(i)].data.u64];
        if (attempt.socket) advance(attempt);
      }
      if (Clock::now() - swept < std::chrono::milliseconds(100)) continue;
      swept = Clock::now();
      for (Attempt& attempt : attempts_) {
        if (attempt.socket && swept - attempt.begun > to_duration(kPatience)) end(attempt, false);
      }
    }
  }

  std::vector<double> times;  ///< Microseconds, from connect to the byte that came back.
  std::uint64_t failed = 0;

 private:
  enum class Step : std::uint8_t { connects, negotiates, waits };
  struct Attempt {
    Fd socket;
    Step step = Step::connects;
    Clock::time_point begun;
    Bytes received;
  };

  void begin(Attempt& attempt) {
    // One that fails at once has no event to wait for: the next takes its place.
    while (begun_ < most_ && Clock::now() < end_) {
      ++begun_;
      attempt.begun = Clock::now();
      attempt.step = Step::connects;
      attempt.received.clear();
      auto socket = platform::start_connect_tcp(target_, {});
      if (!socket) {
        ++failed;
        continue;
      }
      attempt.socket = std::move(*socket);
      ++running_;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLET;
      event.data.u64 = static_cast<std::uint64_t>(&attempt - attempts_.data());
      check(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, attempt.socket.get(), &event), "epoll_ctl");
      return;
    }
  }

  void end(Attempt& attempt, bool good) {
    if (good) {
      times.push_back(microseconds(Clock::now() - attempt.begun));
    } else {
      ++failed;
    }
    platform::reset_on_close(attempt.socket.get());
    attempt.socket.reset();
    --running_;
    begin(attempt);
  }

  void advance(Attempt& attempt) {
    const int socket = attempt.socket.get();
    constexpr std::byte kByte{'x'};
    if (attempt.step == Step::connects) {
      // A failed connect fails the first send too.
      const ssize_t sent = opening_.empty()
                               ? ::send(socket, &kByte, 1, MSG_NOSIGNAL)
                               : ::send(socket, opening_.data(), opening_.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == ENOTCONN ? void() : end(attempt, false);
      attempt.step = opening_.empty() ? Step::waits : Step::negotiates;
      return;
    }
    std::array<std::byte, 256> bytes;
    const ssize_t size = ::recv(socket, bytes.data(), bytes.size(), 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return end(attempt, false);
    if (attempt.step == Step::waits) return end(attempt, true);
    attempt.received.insert(attempt.received.end(), bytes.begin(), bytes.begin() + size);
    const auto answer = parse_socks_answer(attempt.received);
    if (!answer) return end(attempt, false);
    if (!*answer) return;
    if (::send(socket, &kByte, 1, MSG_NOSIGNAL) < 0) return end(attempt, false);
    attempt.step = Step::waits;
  }

  Endpoint target_;
  Bytes opening_;
  std::vector<Attempt> attempts_;
  std::uint64_t most_;
  Clock::time_point end_;
  Fd epoll_;
  std::uint64_t begun_ = 0;
  std::size_t running_ = 0;
};

void measure_connect(const Options& options) {
  const Way way(options);
  const auto in_flight = static_cast<std::size_t>(options.number("inflight", 64));
  const bool counted = options.has("count");
  const double seconds = counted ? 600 : options.number("seconds", 2);
  const auto most = counted ? static_cast<std::uint64_t>(options.number("count", 0)) : UINT64_MAX;
  const auto start = Clock::now();
  Dialer dialer(way, in_flight, most, start + to_duration(seconds));
  dialer.run();
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  const std::size_t count = dialer.times.size();
  std::printf(
      R"({"per_second": %.0f, "p50_us": %.1f, "p99_us": %.1f, "count": %zu, "failed": %llu})"
      "\n",
      static_cast<double>(count) / took, quantile(dialer.times, 0.5), quantile(dialer.times, 0.99),
      count, static_cast<unsigned long long>(dialer.failed));
}

// ---- rtt ----------------------------------------------------------------------------------------

/// Round trips on one TCP connection, one after the other.
std::vector<double> ping_tcp(const Way& way, std::size_t count, std::size_t size) {
  const Fd socket = must(way.connect(kEcho));
  Bytes bytes(size);
  std::vector<double> times;
  for (std::size_t i = 0; i < count; ++i) {
    const auto start = Clock::now();
    if (::send(socket.get(), bytes.data(), size, MSG_NOSIGNAL) < 0 ||
        ::recv(socket.get(), bytes.data(), size, MSG_WAITALL) != static_cast<ssize_t>(size)) {
      die("the echo has ended");
    }
    times.push_back(microseconds(Clock::now() - start));
  }
  platform::reset_on_close(socket.get());
  return times;
}

/// The same over UDP. A lost datagram is no round trip.
std::vector<double> ping_udp(const Way& way, std::size_t count, std::size_t size) {
  UdpWay udp(way, kUdpEcho);
  if (!udp.open()) die("no answer over UDP");
  Bytes bytes(std::max(size, sizeof(Stamp)));
  std::vector<double> times;
  for (std::size_t i = 0; i < count; ++i) {
    const Stamp stamp{1, i};
    std::memcpy(bytes.data(), &stamp, sizeof stamp);
    const auto start = Clock::now();
    udp.send(bytes);
    for (;;) {
      const auto answer = udp.receive(1);
      if (!answer) break;
      if (answer->run != 1 || answer->sequence != i) continue;
      times.push_back(microseconds(Clock::now() - start));
      break;
    }
  }
  return times;
}

void measure_rtt(const Options& options) {
  const Way way(options);
  const auto count = static_cast<std::size_t>(options.number("count", 5000));
  const auto size = static_cast<std::size_t>(options.number("size", 64));
  auto times = options.has("udp") ? ping_udp(way, count, size) : ping_tcp(way, count, size);
  std::printf(R"({"p50_us": %.1f, "p99_us": %.1f, "lost": %zu})"
              "\n",
              quantile(times, 0.5), quantile(times, 0.99), count - times.size());
}

// ---- udp ----------------------------------------------------------------------------------------

/// Sends at a steady rate; returns how many.
std::uint64_t send_paced(const UdpWay& udp, std::uint64_t run, std::size_t size, double rate,
                         double seconds) {
  StampedSender sender(run, size, udp.prefix());
  Pacer pacer(rate, to_duration(seconds));
  std::uint64_t sent = 0;
  auto next = Clock::now();
  for (auto now = next; !pacer.over(now); now = Clock::now()) {
    while (const std::size_t due = pacer.take(now)) {
      (void)sender.send(udp.socket(), due);  // what the kernel does not take is lost on the way
      sent += due;
    }
    next = std::max(next + pacer.tick(), now);
    std::this_thread::sleep_until(next);
  }
  return sent;
}

/// Counts the run's datagrams until they have stopped to come.
std::uint64_t receive_run(UdpWay& udp, std::uint64_t run, double seconds) {
  constexpr std::size_t kBatch = 64;
  constexpr auto kQuiet = std::chrono::milliseconds(300);
  const std::size_t room = udp.prefix().size() + sizeof(Stamp);  // the rest need not be copied
  Bytes memory(kBatch * room);
  std::array<iovec, kBatch> vectors;
  std::array<mmsghdr, kBatch> messages{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    vectors[i] = {&memory[i * room], room};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  std::uint64_t received = 0;
  const auto end = Clock::now() + to_duration(seconds);
  auto last = Clock::now();
  set_timeout(udp.socket(), 0.1);
  for (auto now = last; now < end || now - last < kQuiet; now = Clock::now()) {
    if (now > end + to_duration(kPatience)) break;
    const int count = ::recvmmsg(udp.socket(), messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (count <= 0) continue;
    last = Clock::now();
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      Stamp stamp;
      if (messages[i].msg_len < room) continue;
      std::memcpy(&stamp, &memory[(i + 1) * room - sizeof stamp], sizeof stamp);
      received += stamp.run == run ? 1 : 0;
    }
  }
  return received;
}

/// What of a steady stream of datagrams arrives.
void measure_udp(const Options& options) {
  const Way way(options);
  const bool up = is_up(options);
  const auto size = std::max(sizeof(Stamp), static_cast<std::size_t>(options.number("size", 64)));
  const double rate = options.number("rate", 10000);
  const double seconds = options.number("seconds", 1);
  if (rate < 1) die("--rate: at least 1");
  const std::uint64_t run = (std::uint64_t{std::random_device{}()} << 32) | std::random_device{}();

  Control control(way);
  UdpWay udp(way, up ? kUdpSink : kUdpSource);
  if (!udp.open()) die("no answer over UDP");
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  if (up) {
    sent = send_paced(udp, run, size, rate, seconds);
    // What is still on its way is waited for: until the count stands still.
    for (std::uint64_t before = 0;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      received = control.ask(run).udp_received;
      if (received == before) break;
      before = received;
    }
  } else {
    const Order order{{run, 0}, rate, seconds, size};
    udp.send(std::as_bytes(std::span(&order, 1)));
    received = receive_run(udp, run, seconds);
    sent = control.ask(run).udp_sent;
  }
  const auto share = sent == 0 ? 0 : static_cast<double>(received) / static_cast<double>(sent);
  std::printf(R"({"sent": %llu, "received": %llu, "loss": %.5f, "per_second": %.0f})"
              "\n",
              static_cast<unsigned long long>(sent), static_cast<unsigned long long>(received),
              1 - share, static_cast<double>(received) / seconds);
}

// ---- hold ---------------------------------------------------------------------------------------

/// One byte there and back: the flow is up, as far as the server.
bool is_alive(const Fd& socket) {
  std::byte byte{'x'};
  return socket && ::send(socket.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
         ::recv(socket.get(), &byte, 1, 0) == 1;
}

/// Flows that do nothing, until a line comes in; then each has to answer.
void hold(const Options& options) {
  const Way way(options);
  const auto flows = static_cast<std::size_t>(options.number("flows", 200));
  std::vector<Fd> sockets;
  std::string problem;
  while (sockets.size() < flows && problem.empty()) {
    auto socket = way.connect(kEcho);
    if (!socket) {
      problem = socket.error().text();
    } else if (!is_alive(*socket)) {
      problem = "no echo";
    } else {
      sockets.push_back(std::move(*socket));
    }
  }
  // With fewer than were asked for it goes on: how many there can be is an answer too.
  std::printf("ready %zu %s\n", sockets.size(), problem.c_str());
  std::fflush(stdout);
  (void)std::getchar();
  const auto alive = std::ranges::count_if(sockets, is_alive);
  std::printf("{\"alive\": %td}\n", alive);
  for (const Fd& socket : sockets) platform::reset_on_close(socket.get());
}

}  // namespace

StampedSender::StampedSender(std::uint64_t run, std::size_t size, std::span<const std::byte> prefix)
    : prefix_(prefix.begin(), prefix.end()),
      padding_(std::max(size, sizeof(Stamp)) - sizeof(Stamp)) {
  for (std::size_t i = 0; i < Pacer::kBatch; ++i) {
    stamps_[i].run = run;
    vectors_[i] = {iovec{prefix_.data(), prefix_.size()}, iovec{&stamps_[i], sizeof(Stamp)},
                   iovec{padding_.data(), padding_.size()}};
    messages_[i] = {};
    messages_[i].msg_hdr.msg_iov = vectors_[i].data();
    messages_[i].msg_hdr.msg_iovlen = vectors_[i].size();
  }
}

std::size_t StampedSender::send(int socket, std::size_t count, sockaddr_storage* to,
                                socklen_t to_size) {
  for (std::size_t i = 0; i < count; ++i) {
    stamps_[i].sequence = sequence_++;
    messages_[i].msg_hdr.msg_name = to;
    messages_[i].msg_hdr.msg_namelen = to_size;
  }
  const int sent = ::sendmmsg(socket, messages_.data(), static_cast<unsigned>(count), 0);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

}  // namespace hairpin::bench

int main(int argc, char** argv) {
  using namespace hairpin::bench;  // NOLINT(google-build-using-namespace)
  const Options options(argc, argv,
                        {"to", "down", "up", "streams", "seconds", "socks", "inflight", "count",
                         "size", "udp", "rate", "flows"});
  if (options.words().empty()) die(kUsage);
  prepare_process();
  ::prctl(PR_SET_TIMERSLACK, 1);  // the pace is kept to microseconds
  const std::string& what = options.words()[0];
  if (what == "serve") serve(options);
  if (what == "tcp") {
    measure_tcp(options);
  } else if (what == "connect") {
    measure_connect(options);
  } else if (what == "rtt") {
    measure_rtt(options);
  } else if (what == "udp") {
    measure_udp(options);
  } else if (what == "hold") {
    hold(options);
  } else {
    die(kUsage);
  }
}
