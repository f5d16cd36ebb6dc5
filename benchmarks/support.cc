#include "support.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "platform/sockets.h"

namespace hairpin::bench {

namespace {

/// Bytes. More than a few milliseconds of the highest rates.
constexpr int kBuffer = 4 << 20;
constexpr int kBacklog = 4096;
/// A batch is due at each tick at full speed. Shorter ones would spend the CPU on waking up.
constexpr std::chrono::microseconds kShortestTick{100};
/// Batches that a late sender may catch up with.
constexpr double kDebt = 4.0 * Pacer::kBatch;

Fd open_socket(const Endpoint& at, int type, sockaddr_storage& address, socklen_t& size) {
  size = at.to_sockaddr(address);
  Fd socket(::socket(address.ss_family, type | SOCK_CLOEXEC, 0));
  check(socket.get(), "socket");
  return socket;
}

}  // namespace

void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

int check(int result, const std::string& what) {
  if (result < 0) die(what + ": " + std::strerror(errno));
  return result;
}

Options::Options(int argc, char** argv, std::initializer_list<std::string_view> known) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("--")) {
      words_.push_back(word);
      continue;
    }
    const std::string name = word.substr(2);
    if (std::ranges::find(known, name) == known.end()) die("unknown option " + word);
    const bool flag = i + 1 == argc || std::string_view(argv[i + 1]).starts_with("--");
    named_[name] = flag ? "" : argv[++i];
  }
}

std::string Options::text(const std::string& name) const {
  const auto found = named_.find(name);
  if (found == named_.end()) die("--" + name + " is missing");
  return found->second;
}

double Options::number(const std::string& name, double otherwise) const {
  if (!has(name)) return otherwise;
  const std::string value = text(name);
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0' || !(number >= 0)) die("--" + name + ": no number");
  return number;
}

Endpoint Options::endpoint(const std::string& name) const {
  return parse_endpoint(text(name));
}

Endpoint parse_endpoint(const std::string& text) {
  const auto endpoint = Endpoint::parse(text);
  if (!endpoint) die(text + ": no ADDRESS:PORT");
  return *endpoint;
}

Endpoint with_offset(const Endpoint& base, unsigned offset) {
  return {base.address, static_cast<std::uint16_t>(base.port + offset)};
}

Fd listen_tcp(const Endpoint& at) {
  sockaddr_storage address{};
  socklen_t size = 0;
  Fd socket = open_socket(at, SOCK_STREAM | SOCK_NONBLOCK, address, size);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), "bind " + at.text());
  check(::listen(socket.get(), kBacklog), "listen " + at.text());
  return socket;
}

Fd bind_udp(const Endpoint& at) {
  sockaddr_storage address{};
  socklen_t size = 0;
  Fd socket = open_socket(at, SOCK_DGRAM | SOCK_NONBLOCK, address, size);
  check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), "bind " + at.text());
  grow_buffers(socket.get());
  return socket;
}

Result<Fd> connect_tcp(const Endpoint& to, double seconds) {
  sockaddr_storage address{};
  socklen_t size = 0;
  Fd socket = open_socket(to, SOCK_STREAM, address, size);
  set_timeout(socket.get(), seconds);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
    return last_error("connect " + to.text());
  }
  platform::set_no_delay(socket.get());
  return socket;
}

void set_timeout(int socket, double seconds) {
  const auto whole = static_cast<time_t>(seconds);
  const timeval limit{whole, static_cast<suseconds_t>((seconds - std::floor(seconds)) * 1e6)};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

void grow_buffers(int socket) {
  for (const auto& [forced, asked] :
       {std::pair{SO_RCVBUFFORCE, SO_RCVBUF}, std::pair{SO_SNDBUFFORCE, SO_SNDBUF}}) {
    if (::setsockopt(socket, SOL_SOCKET, forced, &kBuffer, sizeof kBuffer) == 0) continue;
    ::setsockopt(socket, SOL_SOCKET, asked, &kBuffer, sizeof kBuffer);  // without privilege
  }
}

void prepare_process() {
  (void)platform::raise_descriptor_limit();
  (void)std::signal(SIGPIPE, SIG_IGN);
}

Loop::Loop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  check(epoll_.get(), "epoll_create1");
}

void Loop::watch(int fd, std::uint32_t events, Handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0) return;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event), "epoll_ctl");
}

void Loop::run() {
  std::array<epoll_event, 256> events;
  std::vector<Handler*> again;
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   again_.empty() ? -1 : 0);
    if (count < 0 && errno != EINTR) check(count, "epoll_wait");
    again.clear();
    std::swap(again, again_);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      static_cast<Handler*>(event.data.ptr)->ready(event.events);
    }
    for (Handler* handler : again) handler->ready(0);
    // One that has asked for another turn and was retired after all must not get it.
    for (Handler* handler : retired_) {
      std::erase(again_, handler);
      handlers_.erase(handler);
    }
    retired_.clear();
  }
}

Pacer::Pacer(double rate, std::chrono::nanoseconds duration)
    : rate_(rate),
      end_(start_ + duration),
      tick_(std::max<Clock::duration>(kShortestTick,
                                      std::chrono::nanoseconds(std::llround(1e9 / rate)))) {}

std::size_t Pacer::take(Clock::time_point now) {
  const double due = rate_ * std::chrono::duration<double>(now - start_).count();
  gone_ = std::max(gone_, due - kDebt);
  const double count = std::clamp(std::floor(due - gone_), 0.0, static_cast<double>(kBatch));
  gone_ += count;
  return static_cast<std::size_t>(count);
}

}  // namespace hairpin::bench
