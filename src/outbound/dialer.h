// Opening connections: names are resolved, addresses tried in turn, one deadline over each.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/asio.h"
#include "base/result.h"
#include "config/config.h"
#include "flow/stream.h"
#include "flow/worker.h"
#include "platform/sockets.h"

namespace hairpin::outbound {

/// Something that goes when the connection goes, on the worker that has made both.
class Attachment {
 public:
  Attachment() = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  virtual ~Attachment() = default;
};

/// A connected stream (flow/stream.h), and what goes with it.
struct Connection {
  Descriptor socket;
  LoopGuard::Entry guard;
  /// What the remote sent right behind a proxy's last message: the first bytes for the client.
  std::vector<std::byte> early;
  std::shared_ptr<Resets> resets = {};  ///< Null: a TCP socket, which knows by itself.
  std::vector<std::unique_ptr<Attachment>> attachments = {};

  /// Makes closing it a reset.
  void reset_on_close() {
    if (resets) resets->by_user = true;
    platform::reset_on_close(socket.native_handle());
  }
  /// What looks like the end of the stream is not its end.
  bool was_reset() const { return resets && resets->by_remote; }
};

/// The same on its way from one worker to another: nobody waits for anything on it.
struct DetachedConnection {
  Fd socket;
  LoopGuard::Entry guard;
  std::vector<std::byte> early;
  std::shared_ptr<Resets> resets;
};
/// Called by the worker that has it. Requires: nothing waits on the socket, and nothing is
/// attached.
DetachedConnection detach(Connection connection);
/// Called by the worker that is to have it. Fails as Worker::watch does.
Result<Connection> attach(Worker& worker, DetachedConnection detached);

class Outbound;

/// How connections of one outbound are opened.
struct DialOptions {
  std::shared_ptr<Outbound> detour;  ///< Through this one, by no sockets of their own; null: none.
  Mark mark;
  std::string interface;       ///< To be bound to; empty: none.
  bool follow_uplink = false;  ///< Bound to the worker's uplink, where no interface is named.
  config::Duration connect_timeout;
  config::Duration fallback_delay{300};
  std::optional<IpAddr> source4;  ///< Of sockets for IPv4; empty: the kernel's choice.
  std::optional<IpAddr> source6;
  bool reuse_address = false;
  bool fast_open = false;
  platform::Congestion congestion;
  config::DomainResolver resolver;  ///< Of names of servers; empty: the system's.
  bool resolves_by_rules = false;   ///< Empty means the rules of `dns`, where there are any.

  /// For a socket that is opened now, to talk to `to`. Networks that are not of the public Internet
  /// need not be where the uplink leads: they are left to routing.
  platform::Binding binding(const Worker& worker, const IpAddr& to) const;
};

Task<Result<Connection>> dial(Worker& worker, const Endpoint& to, const DialOptions& options);
/// Families by turns, that of the first address first (RFC 8305, section 4).
std::vector<IpAddr> by_turns(const std::vector<IpAddr>& addresses);

/// Resolves, and connects to the first address that answers: the next one is tried when the last
/// has failed, or has kept us waiting for `fallback_delay` (RFC 8305, section 5). Through a detour,
/// which is told the name.
Task<Result<Connection>> dial(Worker& worker, const config::Server& server,
                              const DialOptions& options);

/// The addresses of a server, in the order in which they are to be tried.
Task<Addresses> resolve(Worker& worker, const std::string& host, const DialOptions& options);

/// The client's side of a handshake: messages out, messages in, within one deadline.
class Handshake {
 public:
  /// Both must outlive the handshake. What has come early is its first answer.
  Handshake(Worker& worker, Connection& connection, Clock::duration timeout)
      : socket_(connection.socket),
        deadline_(worker.watchdog, connection.socket, timeout),
        received_(std::move(connection.early)) {}

  Task<Result<>> send(std::span<const std::byte> message);

  /// Receives until `parse`, given all bytes so far, answers with a message (its member `size`
  /// tells how many bytes it took) or an error. At most `max` bytes are waited for.
  template <class Parse>
  auto receive(Parse parse, std::size_t max) -> Task<Result<
      typename std::invoke_result_t<Parse, std::span<const std::byte>>::value_type::value_type>> {
    for (;;) {
      auto parsed = parse(std::span<const std::byte>(received_));
      if (!parsed) co_return parsed.error();
      if (parsed->has_value()) {
        auto message = std::move(**parsed);
        received_.erase(received_.begin(),
                        received_.begin() + static_cast<std::ptrdiff_t>(message.size));
        co_return message;
      }
      if (received_.size() >= max) co_return Error{"the proxy's answer is too long"};
      if (auto more = co_await receive_more(); !more) co_return more.error();
    }
  }

  /// Bytes received behind the last message.
  std::vector<std::byte> take_rest() { return std::move(received_); }

 private:
  Task<Result<>> receive_more();

  Descriptor& socket_;
  Deadline deadline_;
  std::vector<std::byte> received_;
};

}  // namespace hairpin::outbound
