// Connected TCP sockets within this process, on any system.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <thread>

#include "base/asio.h"
#include "platform/sockets.h"
#include "platform/stream.h"

namespace hairpin::test {

/// Tries again and again, for ten seconds at most.
template <class Try>
bool eventually(Try attempt) {
  const auto until = Clock::now() + std::chrono::seconds(10);
  while (!attempt()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class LoopbackListener {
 public:
  LoopbackListener() : acceptor_(context_, {asio::ip::address_v4::loopback(), 0}) {
    acceptor_.non_blocking(true);
  }
  Endpoint endpoint() const {
    return {*IpAddr::parse("127.0.0.1"), acceptor_.local_endpoint().port()};
  }
  Fd accept() {
    Fd accepted;
    EXPECT_TRUE(eventually([&] {
      auto tried = platform::accept_tcp(static_cast<int>(acceptor_.native_handle()));
      if (tried) accepted = std::move(tried->socket);
      return static_cast<bool>(accepted);
    }));
    return accepted;
  }

 private:
  asio::io_context context_;
  asio::ip::tcp::acceptor acceptor_;
};

struct TcpPair {
  Fd one;
  Fd other;
};

inline TcpPair connected_pair() {
  LoopbackListener listener;
  auto one = platform::start_connect_tcp(listener.endpoint(), {});
  EXPECT_TRUE(one);
  Fd other = listener.accept();
  // Accepted is connected, but for what Windows says about itself.
  EXPECT_TRUE(eventually([&] { return static_cast<bool>(platform::peer_endpoint(one->get())); }));
  return {std::move(*one), std::move(other)};
}

}  // namespace hairpin::test
