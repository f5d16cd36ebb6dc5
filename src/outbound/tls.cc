#include "outbound/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "platform/stream.h"

namespace hairpin::outbound {

namespace {

/// Of plain bytes: what one record holds (RFC 8446, 5.1).
constexpr std::size_t kPiece = 16 * 1024;
/// Pieces before the other flows of the worker have a turn.
constexpr int kRounds = 8;

/// The last thing that OpenSSL has complained about on this thread.
std::string complaint() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

Result<> wrong(const char* what) {
  return Error{std::string("TLS: ") + what + ": " + complaint()};
}

int version(config::TlsVersion wanted) {
  return wanted == config::TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

/// As it is sent: each name behind its length (RFC 7301, 3.1).
std::string wire_format(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

/// What a person can do about a certificate that was not accepted.
std::string cure_of(long verdict) {
  switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "set \"server_name\" to a name that it has";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "renew it, or set this machine's clock";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "name whom to trust by \"certificate_path\" (or install ca-certificates)";
    default:
      return "\"insecure\" takes any";
  }
}

}  // namespace

// ---- TlsClient ----------------------------------------------------------------------------------

void TlsClient::Deleter::operator()(ssl_ctx_st* context) const {
  SSL_CTX_free(context);
}
void TlsClient::Deleter::operator()(ssl_session_st* ticket) const {
  SSL_SESSION_free(ticket);
}

Result<std::shared_ptr<TlsClient>> TlsClient::make(const config::Tls& options,
                                                   const std::string& host) {
  std::shared_ptr<TlsClient> client(new TlsClient);
  client->name_ = options.server_name.empty() ? host : options.server_name;
  if (auto done = client->configure(options); !done) return done.error();
  return client;
}

Result<> TlsClient::configure(const config::Tls& options) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_) return wrong("SSL_CTX_new");
  SSL_CTX* context = context_.get();
  if (SSL_CTX_set_min_proto_version(context, version(options.min_version)) != 1 ||
      SSL_CTX_set_max_proto_version(context, version(options.max_version)) != 1) {
    return wrong("version");
  }
  // A server may close without close_notify: many do (RFC 8446, 6.1). Whether it was in the middle
  // of something is for the stream to say.
  SSL_CTX_set_options(
      context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, &TlsClient::keep_session);
  const std::string protocols = wire_format(options.alpn);
  if (!protocols.empty() &&
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                              static_cast<unsigned>(protocols.size())) != 0) {
    return wrong("alpn");
  }
  X509_VERIFY_PARAM* checks = SSL_CTX_get0_param(context);
  if (IpAddr::parse(name_)) {
    send_name_ = false;  // RFC 6066, section 3: no literal addresses
    if (X509_VERIFY_PARAM_set1_ip_asc(checks, name_.c_str()) != 1) return wrong("server_name");
  } else {
    send_name_ = !options.disable_sni;
    X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_host(checks, name_.data(), name_.size()) != 1) {
      return wrong("server_name");
    }
  }
  SSL_CTX_set_verify(context, options.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  if (options.insecure) return {};
  if (!options.certificate.empty()) return trust(options.certificate);
  if (SSL_CTX_set_default_verify_paths(context) != 1) return wrong("the system's certificates");
  return {};
}

Result<> TlsClient::trust(const std::string& certificates) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(certificates.data(), static_cast<int>(certificates.size())), &BIO_free);
  X509_STORE* trusted = SSL_CTX_get_cert_store(context_.get());
  std::size_t count = 0;
  while (X509* certificate = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
    const int added = X509_STORE_add_cert(trusted, certificate);
    X509_free(certificate);
    if (added != 1) return wrong("certificate");
    ++count;
  }
  if (count == 0) return wrong("certificate");
  ERR_clear_error();  // the end of the text counts as one
  // Whoever is named is trusted, also where somebody else has signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_.get()), X509_V_FLAG_PARTIAL_CHAIN);
  return {};
}

// ---- TlsSession ---------------------------------------------------------------------------------

/// An SSL with what it needs to live, and the connection that it reads and writes.
class TlsSession {
 public:
  TlsSession(std::shared_ptr<TlsClient> client, Connection plain)
      : client_(std::move(client)), plain_(std::move(plain)) {}
  ~TlsSession() {
    // SSL_free takes a session without close_notify for broken, and its ticket with it.
    if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  TlsSession(TlsSession&&) = default;
  TlsSession& operator=(TlsSession&&) = delete;

  Result<> open() {
    ERR_clear_error();
    ssl_.reset(SSL_new(client_->context_.get()));
    if (!ssl_ || SSL_set_fd(ssl_.get(), plain_.socket.native_handle()) != 1)
      return wrong("SSL_new");
    SSL_set_app_data(ssl_.get(), client_.get());
    if (client_->send_name_ && SSL_set_tlsext_host_name(ssl_.get(), client_->name_.c_str()) != 1) {
      return wrong("server_name");
    }
    // A ticket is for one use (RFC 8446, C.4): the server sends another.
    if (const auto ticket = std::move(client_->ticket_)) SSL_set_session(ssl_.get(), ticket.get());
    return {};
  }

  SSL* ssl() const { return ssl_.get(); }
  Connection& plain() { return plain_; }

  std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }

  /// For errors.
  std::string purpose() const { return "TLS handshake with " + client_->name_; }

  /// What the handshake failed of. Call right behind it.
  Error explain(int why, int code) const {
    const std::string what = purpose();
    const long verdict = SSL_get_verify_result(ssl_.get());
    const unsigned long last = ERR_peek_last_error();
    if (ERR_GET_REASON(last) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      return Error{what + ": its certificate was not accepted: " +
                       X509_verify_cert_error_string(verdict) + "; " + cure_of(verdict),
                   EACCES};
    }
    if (why == SSL_ERROR_SYSCALL && code != 0) return Error{what, code};
    if (why == SSL_ERROR_ZERO_RETURN || last == 0) {
      return Error{what + ": the server closed the connection", ECONNRESET};
    }
    if (ERR_GET_REASON(last) == SSL_R_WRONG_VERSION_NUMBER) {
      return Error{what + ": the server does not speak TLS on this port", EPROTO};
    }
    return Error{what + ": " + complaint(), EPROTO};
  }

 private:
  struct Deleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  // Destroyed last to first: the SSL refers to the others.
  std::shared_ptr<TlsClient> client_;
  Connection plain_;
  std::unique_ptr<SSL, Deleter> ssl_;
};

int TlsClient::keep_session(ssl_st* session, ssl_session_st* ticket) {
  auto* client = static_cast<TlsClient*>(SSL_get_app_data(session));
  client->ticket_.reset(ticket);
  return 1;  // ours now
}

namespace {

// ---- TlsStream ----------------------------------------------------------------------------------

/// Moves bytes between the session and the socket pair. Owns itself: handlers that wait hold a
/// reference each.
class TlsStream : public boost::intrusive_ref_counter<TlsStream, boost::thread_unsafe_counter> {
 public:
  static void start(Worker& worker, TlsSession session, Descriptor user,
                    std::shared_ptr<Resets> resets) {
    const boost::intrusive_ptr<TlsStream> stream(
        new TlsStream(worker, std::move(session), std::move(user), std::move(resets)));
    stream->run(stream->down_);
    if (!stream->finished_) stream->run(stream->up_);
  }

 private:
  /// One direction: `up` from the user, `down` to it.
  struct Half {
    std::vector<std::byte> rest;  ///< Read, not yet written.
    bool source_ended = false;
    bool ended = false;     ///< The end has been passed on.
    bool watching = false;  ///< Its source is waited for in error.
  };
  enum class Step : std::uint8_t { again, waits, ended, failed };

  TlsStream(Worker& worker, TlsSession session, Descriptor user, std::shared_ptr<Resets> resets)
      : worker_(worker),
        session_(std::move(session)),
        user_(std::move(user)),
        resets_(std::move(resets)) {}

  SSL* ssl() const { return session_.ssl(); }
  Descriptor& net() { return session_.plain().socket; }

  void run(Half& half) {
    for (int round = 0; round < kRounds; ++round) {
      switch (&half == &up_ ? step_up() : step_down()) {
        case Step::again:
          continue;
        case Step::waits:
          return;
        case Step::ended:
          if (up_.ended && down_.ended) return finish(false);
          return watch(half);
        case Step::failed:
          return finish(true);
      }
    }
    asio::post(worker_.executor(), [self = boost::intrusive_ptr(this), &half] {
      if (!self->finished_) self->run(half);
    });
  }

  Step step_up() {
    if (!up_.rest.empty()) return encrypt(up_.rest);
    if (up_.source_ended) return say_goodbye();
    const std::span<std::byte> piece = std::span(worker_.scratch).first(kPiece);
    const auto got = platform::receive(user_.native_handle(), piece);
    if (!got && platform::would_block(got.error())) return wait(up_, user_, Wait::wait_read);
    if (!got) return Step::failed;  // closed with unread data
    if (*got == 0) {
      if (resets_->by_user) return Step::failed;
      up_.source_ended = true;
      return Step::again;
    }
    return encrypt(piece.first(*got));
  }

  /// What is not taken is kept. `bytes` may be what is kept already.
  Step encrypt(std::span<const std::byte> bytes) {
    std::size_t taken = 0;
    ERR_clear_error();
    const int done = SSL_write_ex(ssl(), bytes.data(), bytes.size(), &taken);
    const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl(), done);
    std::vector<std::byte> rest(bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
    up_.rest = std::move(rest);
    if (done == 1) return Step::again;
    return wait_for_net(up_, why);
  }

  Step say_goodbye() {
    ERR_clear_error();
    const int said = SSL_shutdown(ssl());
    if (said < 0) {
      const int why = SSL_get_error(ssl(), said);
      return wait_for_net(up_, why);
    }
    up_.ended = true;
    // Closed, not only shut down: nobody will read what the server still sends.
    if (user_has_gone()) down_.ended = true;
    return Step::ended;
  }

  Step step_down() {
    if (!down_.rest.empty()) return hand_over(down_.rest);
    if (down_.source_ended) {
      platform::shut_down_sending(user_.native_handle());
      down_.ended = true;
      return Step::ended;
    }
    const std::span<std::byte> piece = std::span(worker_.scratch).first(kPiece);
    std::size_t got = 0;
    ERR_clear_error();
    const int done = SSL_read_ex(ssl(), piece.data(), piece.size(), &got);
    if (done == 1) return hand_over(piece.first(got));
    const int why = SSL_get_error(ssl(), done);
    if (why != SSL_ERROR_ZERO_RETURN) return wait_for_net(down_, why);
    const bool within_record =
        SSL_has_pending(ssl()) == 1 || std::string_view(SSL_rstate_string(ssl())) == "RB";
    if (within_record || session_.plain().was_reset()) return Step::failed;
    down_.source_ended = true;
    return Step::again;
  }

  Step hand_over(std::span<const std::byte> bytes) {
    const auto sent = platform::send(user_.native_handle(), bytes);
    if (!sent && !platform::would_block(sent.error())) {
      // The user has closed. What it wrote before is still to be sent, unless it broke off.
      if (sent.error().code != EPIPE || resets_->by_user) return Step::failed;
      down_.rest.clear();
      down_.ended = true;
      return Step::ended;
    }
    const auto unsent = bytes.subspan(sent ? *sent : 0);
    std::vector<std::byte> rest(unsent.begin(), unsent.end());
    down_.rest = std::move(rest);
    if (sent) return Step::again;
    watch(down_);  // nobody reads the net meanwhile
    return wait(down_, user_, Wait::wait_write);
  }

  Step wait_for_net(Half& half, int why) {
    if (why == SSL_ERROR_WANT_READ) return wait(half, net(), Wait::wait_read);
    if (why == SSL_ERROR_WANT_WRITE) return wait(half, net(), Wait::wait_write);
    return Step::failed;
  }

  Step wait(Half& half, Descriptor& descriptor, Wait::wait_type what) {
    descriptor.async_wait(
        what, [self = boost::intrusive_ptr(this), &half](const boost::system::error_code& ec) {
          if (!ec && !self->finished_) self->run(half);
        });
    return Step::waits;
  }

  /// The source of a half that is not read, or not any more, may be gone: the other half must
  /// learn.
  void watch(Half& half) {
    if (half.watching) return;
    half.watching = true;
    Descriptor& source = &half == &up_ ? user_ : net();
    source.async_wait(Wait::wait_error, [self = boost::intrusive_ptr(this),
                                         &half](const boost::system::error_code& ec) {
      if (ec || self->finished_) return;
      half.watching = false;
      if (&half == &self->up_) {
        if (self->user_has_gone()) self->finish(self->resets_->by_user);
      } else if (is_broken(self->net())) {
        self->finish(true);
      }
    });
  }

  bool user_has_gone() { return platform::is_hung_up(user_.native_handle()); }

  void finish(bool broken) {
    if (finished_) return;
    finished_ = true;
    const boost::intrusive_ptr<TlsStream> keep(this);  // the waits that end below drop theirs
    if (broken) {
      resets_->by_remote = true;
      session_.plain().reset_on_close();
    }
    boost::system::error_code ignored;
    user_.close(ignored);
    net().close(ignored);
  }

  Worker& worker_;
  TlsSession session_;
  Descriptor user_;  ///< Our end of the pair.
  std::shared_ptr<Resets> resets_;
  Half up_;
  Half down_;
  bool finished_ = false;
};

Task<Result<>> shake_hands(Worker& worker, TlsSession& session, Clock::duration timeout) {
  Descriptor& socket = session.plain().socket;
  const Deadline deadline(worker.watchdog, socket, timeout);
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const int done = SSL_connect(session.ssl());
    const int code = platform::last_socket_error();
    if (done == 1) co_return Result<>();
    const int why = SSL_get_error(session.ssl(), done);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      co_return session.explain(why, code);
    }
    auto [ec] = co_await socket.async_wait(
        why == SSL_ERROR_WANT_READ ? Wait::wait_read : Wait::wait_write, kAsTuple);
    if (deadline.expired()) co_return Error{session.purpose(), ETIMEDOUT};
    if (ec) co_return Error{session.purpose(), ECANCELED};
  }
}

}  // namespace

Task<Result<TlsConnection>> start_tls(Worker& worker, Connection plain,
                                      std::shared_ptr<TlsClient> client, Clock::duration timeout) {
  // A server waits for the client's hello.
  if (!plain.early.empty()) co_return Error{"TLS: the server spoke first", EPROTO};
  TlsSession session(std::move(client), std::move(plain));
  if (auto opened = session.open(); !opened) co_return opened.error();
  if (auto done = co_await shake_hands(worker, session, timeout); !done) co_return done.error();

  auto pair = platform::open_stream_pair();
  if (!pair) co_return pair.error();
  auto user = worker.watch(std::move(pair->first));
  if (!user) co_return user.error();
  auto ours = worker.watch(std::move(pair->second));
  if (!ours) co_return ours.error();
  TlsConnection tls{{std::move(*user), {}, {}, std::make_shared<Resets>()}, session.alpn()};
  TlsStream::start(worker, std::move(session), std::move(*ours), tls.connection.resets);
  co_return tls;
}

}  // namespace hairpin::outbound
