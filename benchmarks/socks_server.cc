// A SOCKS5 server for benchmarks: socks_server ADDRESS PORT
//
// It stands behind all contenders, so it should be the last to run out of breath. dante hands each
// flow from process to process and forwards one datagram with two system calls, microsocks copies
// 1 KiB at a time: with them one measures the server.
//
//   TCP  CONNECT, then splice(2) both ways (splice_relay.h).
//   UDP  ASSOCIATE: what waits is received in one call (recvmmsg), also where the kernel has joined
//        datagrams (UDP_GRO). Neighbours of one size and destination leave as one large packet that
//        the kernel cuts (UDP_SEGMENT). Payloads are not copied: headers are put before them, or
//        left out, by the vectors that sendmmsg gathers from.
//
// Two threads, each with its own loop and its own listener on the one port. No authentication, no
// names, no deadlines, UDP for IPv4 only: it is no server for any other purpose.
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <thread>

#include "platform/sockets.h"
#include "splice_relay.h"
#include "wire/socks5.h"

namespace {

using namespace hairpin;         // NOLINT(google-build-using-namespace)
using namespace hairpin::bench;  // NOLINT(google-build-using-namespace)
using namespace std::string_view_literals;

constexpr int kThreads = 2;
constexpr std::size_t kPipesKept = 256;

constexpr std::uint8_t kConnect = 1;
constexpr std::uint8_t kAssociate = 3;

// Replies of RFC 1928, section 6. The address we are bound to is nobody's business here.
constexpr std::string_view kNoAuthentication = "\x05\x00"sv;
constexpr Answers kAnswers{"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"sv,
                           "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"sv};
constexpr std::string_view kNotSupported = "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"sv;

void say(int socket, std::string_view text) {
  (void)::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
}

/// One datagram in memory that somebody else holds.
struct Piece {
  std::span<std::byte> bytes;
  sockaddr_in from{};
};

/// Receives all that waits, up to a batch, and takes apart what the kernel has joined.
class Inbox {
 public:
  /// Valid until the next call. Empty when nothing waits.
  std::span<const Piece> receive(int socket) {
    for (std::size_t i = 0; i < kMessages; ++i) {
      vectors_[i] = {&memory_[i * kRoom], kRoom};
      headers_[i].msg_hdr = {
          &names_[i], sizeof names_[i], &vectors_[i], 1, controls_[i].bytes, sizeof(Control), 0};
    }
    const int count = ::recvmmsg(socket, headers_.data(), kMessages, MSG_DONTWAIT, nullptr);
    pieces_.clear();
    for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i) split(i);
    return pieces_;
  }

 private:
  static constexpr std::size_t kMessages = 32;
  static constexpr std::size_t kRoom = 65536;
  struct alignas(cmsghdr) Control {
    std::byte bytes[CMSG_SPACE(sizeof(int))];
  };

  void split(std::size_t index) {
    std::span<std::byte> rest(&memory_[index * kRoom], headers_[index].msg_len);
    std::size_t size = rest.size();
    msghdr& header = headers_[index].msg_hdr;
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
      if (part->cmsg_level != SOL_UDP || part->cmsg_type != UDP_GRO) continue;
      int joined = 0;
      std::memcpy(&joined, CMSG_DATA(part), sizeof joined);
      size = static_cast<std::size_t>(joined);
    }
    do {
      const std::size_t now = std::min(size, rest.size());
      pieces_.push_back({rest.first(now), names_[index]});
      rest = rest.subspan(now);
    } while (!rest.empty());
  }

  std::vector<std::byte> memory_{kMessages * kRoom};
  std::array<mmsghdr, kMessages> headers_{};
  std::array<iovec, kMessages> vectors_{};
  std::array<sockaddr_in, kMessages> names_{};
  std::array<Control, kMessages> controls_{};
  std::vector<Piece> pieces_;
};

/// Collects datagrams, joins neighbours, and sends them all in one call.
class Outbox {
 public:
  void add(std::span<const std::byte> header, std::span<const std::byte> payload,
           const sockaddr_in& to) {
    const std::size_t size = header.size() + payload.size();
    if (groups_.empty() || !groups_.back().takes(size, to)) {
      groups_.push_back({.to = to, .first_vector = vectors_.size(), .segment = size});
    }
    Group& group = groups_.back();
    ++group.count;
    group.bytes += size;
    group.open = size == group.segment;  // only the last may be shorter
    for (const auto part : {header, payload}) {
      vectors_.push_back({const_cast<std::byte*>(part.data()), part.size()});
      ++group.vectors;
    }
  }

  /// What the socket does not take is lost, as datagrams are.
  void flush(int socket) {
    messages_.assign(groups_.size(), {});
    controls_.resize(groups_.size());
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      Group& group = groups_[i];
      msghdr& message = messages_[i].msg_hdr;
      message.msg_name = &group.to;
      message.msg_namelen = sizeof group.to;
      message.msg_iov = &vectors_[group.first_vector];
      message.msg_iovlen = group.vectors;
      if (group.count == 1) continue;
      message.msg_control = controls_[i].bytes;
      message.msg_controllen = sizeof(Control);
      cmsghdr* segment = CMSG_FIRSTHDR(&message);
      segment->cmsg_level = SOL_UDP;
      segment->cmsg_type = UDP_SEGMENT;
      segment->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
      const auto size = static_cast<std::uint16_t>(group.segment);
      std::memcpy(CMSG_DATA(segment), &size, sizeof size);
    }
    for (std::size_t sent = 0; sent < messages_.size();) {
      const int count = ::sendmmsg(socket, &messages_[sent],
                                   static_cast<unsigned>(messages_.size() - sent), MSG_DONTWAIT);
      sent += count > 0 ? static_cast<std::size_t>(count) : 1;
    }
    groups_.clear();
    vectors_.clear();
  }

 private:
  /// The kernel's bounds of one joined packet: datagrams, bytes; and what one of Ethernet's size
  /// holds, for a joined one is never fragmented.
  static constexpr std::size_t kMostJoined = 64;
  static constexpr std::size_t kMostBytes = 65000;
  static constexpr std::size_t kLargestSegment = 1472;

  struct Group {
    sockaddr_in to{};
    std::size_t first_vector = 0;
    std::size_t vectors = 0;
    std::size_t segment = 0;  ///< Bytes of each datagram but the last.
    std::size_t count = 0;
    std::size_t bytes = 0;
    bool open = true;

    bool takes(std::size_t size, const sockaddr_in& other) const {
      return open && size <= segment && segment <= kLargestSegment && count < kMostJoined &&
             bytes + size <= kMostBytes && to.sin_port == other.sin_port &&
             to.sin_addr.s_addr == other.sin_addr.s_addr;
    }
  };
  struct alignas(cmsghdr) Control {
    std::byte bytes[CMSG_SPACE(sizeof(std::uint16_t))];
  };

  std::vector<Group> groups_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> messages_;
  std::vector<Control> controls_;
};

Endpoint endpoint_of(const sockaddr_in& address) {
  sockaddr_storage storage{};
  std::memcpy(&storage, &address, sizeof address);
  return Endpoint::from_sockaddr(storage);
}

/// One UDP ASSOCIATE: lives as long as its TCP connection. It has a socket towards the client, and
/// one towards everybody else.
class Association final : public Handler {
 public:
  Association(Loop& loop, Inbox& inbox, Outbox& outbox, Fd control)
      : loop_(loop), inbox_(inbox), outbox_(outbox), control_(std::move(control)) {
    const auto own = platform::local_endpoint(control_.get());
    near_ = bind_udp({own ? own->address : IpAddr(), 0});
    far_ = bind_udp({});
    const int on = 1;
    ::setsockopt(near_.get(), SOL_UDP, UDP_GRO, &on, sizeof on);
    ::setsockopt(far_.get(), SOL_UDP, UDP_GRO, &on, sizeof on);
  }

  void start() {
    loop_.watch(near_.get(), EPOLLIN, *this);
    loop_.watch(far_.get(), EPOLLIN, *this);
    loop_.watch(control_.get(), EPOLLIN | EPOLLRDHUP, *this);
    std::array<std::byte, socks5::kMaxUdpHeader> reply{};
    // The reply has the header's form: three bytes, then an address.
    const auto bound = must(platform::local_endpoint(near_.get()));
    const std::size_t size = socks5::write_udp_header({{}, bound}, reply);
    reply[0] = std::byte{5};
    (void)::send(control_.get(), reply.data(), size, MSG_NOSIGNAL);
  }

  // Which of the three is ready is not told apart: asking costs no more than a failed call.
  void ready(std::uint32_t /*events*/) override {
    if (!control_) return;
    std::byte ignored{};
    const ssize_t read = ::recv(control_.get(), &ignored, 1, MSG_DONTWAIT);
    if (read == 0 || (read < 0 && errno != EAGAIN)) {
      control_.reset();
      near_.reset();
      far_.reset();
      return loop_.retire(*this);
    }
    outwards();
    inwards();
  }

 private:
  void outwards() {
    for (const Piece& piece : inbox_.receive(near_.get())) {
      const auto header = socks5::parse_udp_header(piece.bytes);
      const auto& target = header ? header->value.endpoint : Endpoint{};
      if (!header || !header->value.name.empty() || !target.address.is_v4()) continue;
      client_ = piece.from;
      sockaddr_storage to{};
      target.to_sockaddr(to);
      outbox_.add({}, piece.bytes.subspan(header->size), reinterpret_cast<sockaddr_in&>(to));
    }
    outbox_.flush(far_.get());
  }

  void inwards() {
    std::optional<sockaddr_in> last;
    for (const Piece& piece : inbox_.receive(far_.get())) {
      if (!client_) continue;
      // Nearly always all are from one: the header is written once for them.
      const bool same = last && last->sin_port == piece.from.sin_port &&
                        last->sin_addr.s_addr == piece.from.sin_addr.s_addr;
      if (!same) {
        outbox_.flush(near_.get());  // it still looks at the header
        header_size_ = socks5::write_udp_header({{}, endpoint_of(piece.from)}, header_);
        last = piece.from;
      }
      outbox_.add(std::span(header_).first(header_size_), piece.bytes, *client_);
    }
    outbox_.flush(near_.get());
  }

  Loop& loop_;
  Inbox& inbox_;
  Outbox& outbox_;
  Fd control_;
  Fd near_;
  Fd far_;
  std::optional<sockaddr_in> client_;  ///< Where its datagrams come from.
  std::array<std::byte, socks5::kMaxUdpHeader> header_{};
  std::size_t header_size_ = 0;
};

/// What all flows of a thread share.
struct Worker {
  Loop loop;
  platform::PipePool pipes{kPipesKept};
  Inbox inbox;
  Outbox outbox;
};

/// A client until its request is read. It is looked at before it is taken: bytes behind the request
/// belong to the flow, and stay in the socket for splice.
class Session final : public Handler {
 public:
  Session(Worker& worker, Fd client) : worker_(worker), client_(std::move(client)) {
    platform::set_no_delay(client_.get());
  }

  void ready(std::uint32_t /*events*/) override {
    while (client_) {
      std::array<std::byte, 1024> bytes;
      const ssize_t size = ::recv(client_.get(), bytes.data(), bytes.size(), MSG_PEEK);
      if (size < 0 && errno == EAGAIN) return;
      if (size <= 0) return end();
      const std::size_t taken = take(std::span(bytes).first(static_cast<std::size_t>(size)));
      if (taken == 0) return;  // incomplete; the rest is an event of its own
    }
  }

 private:
  /// Returns the bytes of the message that was complete, 0 if there was none.
  std::size_t take(std::span<const std::byte> bytes) {
    if (bytes[0] != std::byte{5}) {
      end();
      return 0;
    }
    if (!greeted_) {
      if (bytes.size() < 2) return 0;
      const std::size_t size = 2 + std::to_integer<std::size_t>(bytes[1]);
      if (bytes.size() < size) return 0;
      discard(size);
      greeted_ = true;
      say(client_.get(), kNoAuthentication);
      return size;
    }
    // Three bytes, then an address: as before a datagram. The third is 0 there too.
    const auto request = socks5::parse_udp_header(bytes);
    if (!request) return 0;
    discard(request->size);
    serve(std::to_integer<std::uint8_t>(bytes[1]), request->value);
    return request->size;
  }

  void discard(std::size_t size) { (void)::recv(client_.get(), nullptr, size, MSG_TRUNC); }

  void serve(std::uint8_t command, const Target& target) {
    if (command == kAssociate) {
      worker_.loop
          .make<Association>(worker_.loop, worker_.inbox, worker_.outbox, std::move(client_))
          .start();
    } else if (command == kConnect && target.name.empty()) {
      auto server = platform::start_connect_tcp(target.endpoint, {});
      if (server) {
        worker_.loop
            .make<SpliceRelay>(worker_.loop, worker_.pipes, std::move(client_), std::move(*server),
                               kAnswers)
            .start();
      } else {
        say(client_.get(), kAnswers.failed);
      }
    } else {
      say(client_.get(), kNotSupported);
    }
    end();
  }

  void end() {
    client_.reset();
    worker_.loop.retire(*this);
  }

  Worker& worker_;
  Fd client_;
  bool greeted_ = false;
};

class Listener final : public Handler {
 public:
  Listener(Worker& worker, const Endpoint& at) : worker_(worker), socket_(listen_tcp(at)) {
    worker_.loop.watch(socket_.get(), EPOLLIN, *this);
  }
  void ready(std::uint32_t /*events*/) override {
    for (;;) {
      auto client = platform::accept_tcp(socket_.get());
      if (!client) return;
      const int descriptor = client->socket.get();
      Session& session = worker_.loop.make<Session>(worker_, std::move(client->socket));
      worker_.loop.watch(descriptor, EPOLLIN | EPOLLET, session);
    }
  }

 private:
  Worker& worker_;
  Fd socket_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options(argc, argv, {});
  if (options.words().size() != 2) die("usage: socks_server ADDRESS PORT");
  const Endpoint at = parse_endpoint(options.words()[0] + ":" + options.words()[1]);
  prepare_process();
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([at] {
      Worker worker;
      worker.loop.make<Listener>(worker, at);
      worker.loop.run();
    });
  }
}
