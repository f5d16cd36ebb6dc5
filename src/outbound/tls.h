// TLS (RFC 8446) over a connection, as a client.
//
// How it works
//
// Whoever uses a connection reads and writes a descriptor: relays splice(2) it, HTTP and DNS call
// recv(2). Encrypted bytes cannot be had that way, so after the handshake the user is given one end
// of a socket pair, and a stream of ours moves bytes between the other end and the TLS session:
//
//   user ── socket pair ── TlsStream ── TLS session ── TCP socket
//
// OpenSSL reads and writes the TCP socket itself (SSL_set_fd): memory BIOs would need two more
// copies and buffers whose filling is ours to bound. The stream waits for whichever descriptor
// stands in the way, and holds at most one piece of unsent data in each direction, so a slow reader
// slows the sender down. Both ends are told apart:
//
//   the user shuts down for writing    close_notify; the other direction goes on
//   close_notify, or TCP's end         the user reads the end of the stream
//     between two records
//   TCP's end within a record, RST,    Connection::was_reset, behind the end of the stream
//     or a broken record
//   the user closes                    what it has written, close_notify, FIN
//   Connection::reset_on_close, or     RST
//     the user closes with unread data
#pragma once

#include <memory>
#include <string>

#include "config/tls.h"
#include "outbound/dialer.h"

struct ssl_ctx_st;
struct ssl_st;
struct ssl_session_st;

namespace hairpin::outbound {

/// How sessions with one server begin: what was configured, who is trusted, and the ticket of the
/// last session, which shortens the next one's handshake. For one thread.
class TlsClient {
 public:
  /// `host`: of the server, an address or a name; `options.server_name` goes before it. Fails for
  /// certificates that OpenSSL cannot take.
  static Result<std::shared_ptr<TlsClient>> make(const config::Tls& options,
                                                 const std::string& host);

  const std::string& server_name() const { return name_; }

 private:
  friend class TlsSession;
  TlsClient() = default;
  Result<> configure(const config::Tls& options);
  Result<> trust(const std::string& certificates);
  static int keep_session(ssl_st* session, ssl_session_st* ticket);

  struct Deleter {
    void operator()(ssl_ctx_st* context) const;
    void operator()(ssl_session_st* ticket) const;
  };
  std::unique_ptr<ssl_ctx_st, Deleter> context_;
  std::unique_ptr<ssl_session_st, Deleter> ticket_;
  std::string name_;
  bool send_name_ = true;
};

struct TlsConnection {
  Connection connection;  ///< The bytes within the session.
  std::string alpn;       ///< What the server chose of the protocols offered; empty: none.
};

/// The handshake with the server behind `plain`, within `timeout`. The error says which check of
/// the server's certificate failed.
Task<Result<TlsConnection>> start_tls(Worker& worker, Connection plain,
                                      std::shared_ptr<TlsClient> client, Clock::duration timeout);

}  // namespace hairpin::outbound
