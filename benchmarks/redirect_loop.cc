// The least that a redirector can do: redirect_loop PORT [--mark N]
//
//     nft redirect → accept → SO_ORIGINAL_DST → connect, directly → splice both ways
//
// Nothing else: no proxy, rules, deadlines, counters or log, and two threads whose listeners share
// the port. It is the limit for any program that ends TCP in the kernel and relays it, measured so
// that compare can tell what hairpin's own work costs. Its connections carry the mark, by which nft
// leaves them alone.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

// After <netinet/in.h>: only so do the kernel's headers leave the C library's names alone.
#include <linux/netfilter_ipv4.h>

#include <thread>

#include "platform/sockets.h"
#include "splice_relay.h"

namespace {

using namespace hairpin;         // NOLINT(google-build-using-namespace)
using namespace hairpin::bench;  // NOLINT(google-build-using-namespace)

constexpr int kThreads = 2;
constexpr std::size_t kPipesKept = 256;

/// Where the connection was going before nft turned it to us.
std::optional<Endpoint> original_destination(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(sockaddr_in);
  if (::getsockopt(socket, SOL_IP, SO_ORIGINAL_DST, &address, &size) != 0) return std::nullopt;
  return Endpoint::from_sockaddr(address);
}

class Listener final : public Handler {
 public:
  Listener(Loop& loop, std::uint16_t port, Mark mark)
      : loop_(loop), binding_{mark, {}}, socket_(listen_tcp({IpAddr(), port})) {
    loop_.watch(socket_.get(), EPOLLIN, *this);
  }

  void ready(std::uint32_t /*events*/) override {
    for (;;) {
      auto accepted = platform::accept_tcp(socket_.get());
      if (!accepted) return;
      Fd& client = accepted->socket;
      const auto to = original_destination(client.get());
      if (!to) continue;
      auto server = platform::start_connect_tcp(*to, binding_);
      if (!server) {
        platform::reset_on_close(client.get());
        continue;
      }
      platform::set_no_delay(client.get());
      platform::set_no_delay(server->get());
      loop_.make<SpliceRelay>(loop_, pipes_, std::move(client), std::move(*server), Answers{})
          .start();
    }
  }

 private:
  Loop& loop_;
  platform::Binding binding_;
  Fd socket_;
  platform::PipePool pipes_{kPipesKept};
};

[[noreturn]] void serve(std::uint16_t port, Mark mark) {
  Loop loop;
  loop.make<Listener>(loop, port, mark);
  loop.run();
}

}  // namespace

int main(int argc, char** argv) {
  const Options options(argc, argv, {"mark"});
  if (options.words().size() != 1) die("usage: redirect_loop PORT [--mark N]");
  const auto port = parse_number(options.words()[0], 65535);
  if (!port) die("no port: " + options.words()[0]);
  const Mark mark(static_cast<std::uint32_t>(options.number("mark", 0)));
  prepare_process();
  std::vector<std::jthread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back(serve, static_cast<std::uint16_t>(*port), mark);
  }
}
