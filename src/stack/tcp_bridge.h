// Carries the bytes of one connection that ends in user space to a socket pair and back, so that to
// everybody else it is a socket like any other: it can be peeked at, spliced, waited for, and go to
// another worker.
//
// How it works
//
//   client ◄──► lwIP ◄──► bridge ◄──► our end ║ the other end ◄──► dispatcher, relay
//
// Windows are the socket pair's business: what does not fit into it stays with lwIP, which tells
// the client when it has been taken, and it is read from as far as lwIP has room. What a socket
// pair cannot say goes beside it (Resets).
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "base/asio.h"
#include "base/result.h"
#include "flow/stream.h"
#include "flow/worker.h"
#include "tcp/stack.h"

namespace hairpin::stack {

class TcpBridge final
    : public tcp::Connection::User,
      public boost::intrusive_ref_counter<TcpBridge, boost::thread_unsafe_counter> {
 public:
  /// Returns the other end. The bridge owns itself: handlers that wait hold a reference each, and
  /// so does the connection. On failure the connection is to be reset.
  static Result<DetachedStream> open(Worker& worker, tcp::Stack& stack, tcp::Blocks& blocks,
                                     tcp::Connection& connection);

 private:
  TcpBridge(tcp::Stack& stack, tcp::Blocks& blocks, tcp::Connection& connection, Descriptor ours,
            std::shared_ptr<Resets> resets);

  void readable() override { push(); }
  void writable() override { pull(); }
  void gone() override;

  /// From the client.
  void push();
  /// To the client.
  void pull();
  void wait(Wait::wait_type what);
  void watch();
  void end_if_done();
  void break_off();
  void close();

  tcp::Stack& stack_;
  tcp::Blocks& blocks_;
  tcp::Connection* connection_;           ///< Null: its part is over.
  boost::intrusive_ptr<TcpBridge> self_;  ///< As long as the connection may call.
  Descriptor ours_;
  std::shared_ptr<Resets> resets_;
  bool reads_ = false;   ///< Waits to.
  bool writes_ = false;  ///< Waits to.
  bool up_ended_ = false;
  bool down_ended_ = false;
};

}  // namespace hairpin::stack
