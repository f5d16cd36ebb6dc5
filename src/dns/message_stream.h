// Messages over a byte stream, each behind its length (RFC 1035, section 4.2.2).
#pragma once

#include <deque>
#include <memory>

#include "base/asio.h"
#include "flow/worker.h"
#include "outbound/dialer.h"
#include "wire/dns.h"

namespace hairpin::dns {

/// For one thread. Held by whoever reads; what is to be written keeps it until it is.
class MessageStream : public std::enable_shared_from_this<MessageStream> {
 public:
  MessageStream(Worker& worker, outbound::Connection connection);

  /// The next message. ETIMEDOUT: there was none for as long as `idle`; it may be tried again.
  Task<Result<Bytes>> receive(Clock::duration idle);
  /// Whatever comes next, where the stream has other messages than DNS's.
  Task<Result<Bytes>> receive_bytes(Clock::duration idle);
  void send_bytes(View bytes);
  /// Writes when there is room. A peer that does not read loses the connection.
  void send(View message);
  void close();
  /// Writes what is left, and closes.
  Task<> finish();
  bool is_open() const { return socket_.is_open(); }

 private:
  std::optional<Bytes> take_message();
  Task<Result<>> receive_more(const Deadline& deadline);
  Task<> write_all();

  Worker& worker_;
  outbound::Connection connection_;
  Descriptor& socket_ = connection_.socket;
  Bytes received_;
  Bytes unsent_;
  bool writing_ = false;
};

}  // namespace hairpin::dns
