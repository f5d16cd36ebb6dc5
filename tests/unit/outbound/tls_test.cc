// TLS streams against OpenSSL's own server side, over loopback.
#include "outbound/tls.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

namespace hairpin::outbound {
namespace {

using namespace std::chrono_literals;

std::string read_all(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A certificate for localhost.example and 127.0.0.1, made once.
struct Files {
  Files() {
    char pattern[] = "/tmp/hairpin-tls-XXXXXX";
    folder = ::mkdtemp(pattern);
    key = folder + "/key.pem";
    certificate = folder + "/cert.pem";
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        "-subj /CN=localhost.example -addext "
        "subjectAltName=DNS:localhost.example,IP:127.0.0.1 -keyout " +
        key + " -out " + certificate + " 2>/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(cert-env33-c,concurrency-mt-unsafe)
  }
  ~Files() {
    ::unlink(key.c_str());
    ::unlink(certificate.c_str());
    ::rmdir(folder.c_str());
  }
  std::string folder;
  std::string key;
  std::string certificate;
};
const Files& files() {
  static const Files made;
  return made;
}

/// Serves sessions one after the other, on a thread of its own, by blocking calls.
class Server {
 public:
  using Serve = std::function<void(SSL*, int)>;
  /// `version`: the only one that is spoken; 0: any.
  explicit Server(Serve serve, int version = 0, int sessions = 1) {
    context_ = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate_file(context_, files().certificate.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context_, files().key.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    SSL_CTX_set_alpn_select_cb(
        context_,
        [](SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned,
           void*) {
          *out = in + 1;  // the first that is offered
          *size = in[0];
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(listener_, 4);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, serve = std::move(serve), sessions] {
      for (int i = 0; i < sessions; ++i) {
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) return;
        SSL* ssl = SSL_new(context_);
        SSL_set_fd(ssl, socket);
        if (SSL_accept(ssl) == 1) {
          name_ = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) == nullptr
                      ? ""
                      : SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
          resumed_ += SSL_session_reused(ssl);
          serve(ssl, socket);
        }
        SSL_free(ssl);
        ::close(socket);
      }
    });
  }
  ~Server() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    SSL_CTX_free(context_);
  }
  Endpoint endpoint() const { return {*IpAddr::parse("127.0.0.1"), port_}; }
  const std::string& name() const { return name_; }
  int resumed() const { return resumed_; }

 private:
  SSL_CTX* context_;
  int listener_;
  std::uint16_t port_ = 0;
  std::string name_;
  std::atomic<int> resumed_ = 0;
  std::thread thread_;
};

std::string read_to_end(SSL* ssl) {
  std::string all;
  std::array<char, 4096> buffer{};
  for (int got = 0; (got = SSL_read(ssl, buffer.data(), buffer.size())) > 0;) {
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return all;
}

config::Tls trusting() {
  config::Tls tls;
  tls.enabled = true;
  tls.certificate = read_all(files().certificate);
  return tls;
}

class TlsTest : public testing::Test {
 protected:
  TlsTest() { std::signal(SIGPIPE, SIG_IGN); }

  /// Runs the worker until the session is there, or cannot be.
  Result<TlsConnection> connect(const Server& server, std::shared_ptr<TlsClient> client,
                                Clock::duration timeout = 2s) {
    std::optional<Result<TlsConnection>> outcome;
    asio::co_spawn(
        worker_.executor(),
        [&, client]() -> Task<> {
          DialOptions options;
          options.connect_timeout = 2s;
          auto plain = co_await dial(worker_, server.endpoint(), options);
          if (!plain) {
            outcome = plain.error();
            co_return;
          }
          outcome = co_await start_tls(worker_, std::move(*plain), client, timeout);
        },
        asio::detached);
    run_until([&] { return outcome.has_value(); });
    return std::move(*outcome);
  }

  Result<TlsConnection> connect(const Server& server, const config::Tls& tls,
                                const std::string& host = "localhost.example") {
    auto client = TlsClient::make(tls, host);
    if (!client) return client.error();
    return connect(server, *client);
  }

  template <class Condition>
  void run_until(Condition condition) {
    const auto end = Clock::now() + 5s;
    while (!condition()) {
      ASSERT_LT(Clock::now(), end);
      worker_.context.restart();
      worker_.context.run_for(5ms);
    }
  }

  /// Lets the worker do what is left to do.
  void drain() {
    do worker_.context.restart();
    while (worker_.context.run_for(50ms) > 0);
  }

  /// What comes until the end of the stream, while the worker runs.
  std::string receive_all(Connection& connection) {
    std::string all;
    bool ended = false;
    run_until([&] {
      std::array<char, 65536> buffer{};
      for (;;) {
        const ssize_t got =
            ::recv(connection.socket.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0) {
          all.append(buffer.data(), static_cast<std::size_t>(got));
          continue;
        }
        ended = got == 0;
        return ended;
      }
    });
    return all;
  }

  static void send(Connection& connection, const std::string& text) {
    ASSERT_EQ(::send(connection.socket.native_handle(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  LoopGuard guard_;
  Worker worker_{guard_};
};

TEST_F(TlsTest, AnswersAfterTheEndOfTheQuestion) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Server server(
        [](SSL* ssl, int) {
          const std::string asked = "you said " + read_to_end(ssl);
          SSL_write(ssl, asked.data(), static_cast<int>(asked.size()));
          SSL_shutdown(ssl);
        },
        version);
    config::Tls tls = trusting();
    tls.alpn = {"h2", "http/1.1"};
    auto session = connect(server, tls);
    ASSERT_TRUE(session) << session.error().text();
    EXPECT_EQ(session->alpn, "h2");
    send(session->connection, "hello");
    ::shutdown(session->connection.socket.native_handle(), SHUT_WR);
    EXPECT_EQ(receive_all(session->connection), "you said hello");
    EXPECT_FALSE(session->connection.was_reset());
    EXPECT_EQ(server.name(), "localhost.example");
  }
}

TEST_F(TlsTest, ManyBytesBothWays) {
  // More than all buffers hold: both directions are slowed down by who reads.
  constexpr std::size_t kSize = 20'000'000;
  Server server([](SSL* ssl, int) {
    std::string block(100'000, 'x');
    for (std::size_t sent = 0; sent < kSize; sent += block.size()) {
      SSL_write(ssl, block.data(), static_cast<int>(block.size()));
    }
    SSL_shutdown(ssl);
    const std::string count = std::to_string(read_to_end(ssl).size());
    EXPECT_EQ(count, std::to_string(kSize));
  });
  auto session = connect(server, trusting());
  ASSERT_TRUE(session) << session.error().text();
  // Nobody reads yet: the stream may hold no more than its sockets and one piece.
  worker_.context.restart();
  worker_.context.run_for(200ms);
  EXPECT_EQ(receive_all(session->connection).size(), kSize);
  const std::string block(100'000, 'y');
  std::size_t sent = 0;
  run_until([&] {
    while (sent < kSize) {
      const ssize_t done =
          ::send(session->connection.socket.native_handle(), block.data(),
                 std::min(block.size(), kSize - sent), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (done < 0) return false;
      sent += static_cast<std::size_t>(done);
    }
    return true;
  });
  // Closed at once: what was written is sent all the same.
  session->connection.socket.close();
  drain();
}

TEST_F(TlsTest, EndsWithoutGoodbye) {
  // Between two records that is an end; within one it is not.
  for (const bool torn : {false, true}) {
    Server server([torn](SSL* ssl, int socket) {
      SSL_write(ssl, "all of it", 9);
      const std::array<unsigned char, 9> half{23, 3, 3, 0, 100, 1, 2, 3, 4};  // a record's front
      if (torn) (void)!::write(socket, half.data(), half.size());
      ::shutdown(socket, SHUT_WR);
      std::array<char, 1> byte{};
      (void)!::read(socket, byte.data(), byte.size());  // until the client goes
    });
    auto session = connect(server, trusting());
    ASSERT_TRUE(session) << session.error().text();
    EXPECT_EQ(receive_all(session->connection), "all of it");
    EXPECT_EQ(session->connection.was_reset(), torn);
    session->connection.socket.close();
    drain();
  }
}

TEST_F(TlsTest, ResetsBothWays) {
  {
    Server server([](SSL*, int socket) {
      const linger at_once{1, 0};
      ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    });
    auto session = connect(server, trusting());
    ASSERT_TRUE(session) << session.error().text();
    EXPECT_EQ(receive_all(session->connection), "");
    EXPECT_TRUE(session->connection.was_reset());
  }
  for (const bool broken : {false, true}) {
    std::atomic<int> seen = -1;
    std::atomic<bool> ended = false;
    Server server([&](SSL* ssl, int socket) {
      read_to_end(ssl);
      int code = 0;
      socklen_t size = sizeof code;
      pollfd entry{socket, 0, 0};
      ::poll(&entry, 1, 50);
      ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size);
      seen = SSL_get_shutdown(ssl);
      ended = true;
    });
    auto session = connect(server, trusting());
    ASSERT_TRUE(session) << session.error().text();
    if (broken) session->connection.reset_on_close();
    session->connection.socket.close();
    run_until([&] { return ended.load(); });
    EXPECT_EQ(seen, broken ? 0 : SSL_RECEIVED_SHUTDOWN) << "close_notify";
  }
}

TEST_F(TlsTest, SecondSessionTakesUpTheFirst) {
  Server server(
      [](SSL* ssl, int) {
        SSL_write(ssl, "x", 1);
        SSL_shutdown(ssl);
        read_to_end(ssl);
      },
      0, 2);
  auto client = TlsClient::make(trusting(), "localhost.example");
  ASSERT_TRUE(client);
  for (int i = 0; i < 2; ++i) {
    auto session = connect(server, *client);
    ASSERT_TRUE(session) << session.error().text();
    EXPECT_EQ(receive_all(session->connection), "x");
    session->connection.socket.close();
    drain();
  }
  EXPECT_EQ(server.resumed(), 1);
}

TEST_F(TlsTest, WhomToTrust) {
  struct Row {
    const char* host;
    const char* server_name;
    bool trusted;
    bool insecure;
    const char* error;  ///< Empty: accepted.
    const char* told;   ///< What the server was told.
  };
  for (const Row& row : {
           Row{"localhost.example", "", true, false, "", "localhost.example"},
           Row{"127.0.0.1", "", true, false, "", ""},
           Row{"192.0.2.1", "localhost.example", true, false, "", "localhost.example"},
           Row{"127.0.0.2", "", true, false, "IP address mismatch; set \"server_name\"", ""},
           Row{"other.example", "", true, false, "hostname mismatch; set \"server_name\"", ""},
           Row{"localhost.example", "", false, false,
               "self-signed certificate; name whom to trust by \"certificate_path\"", ""},
           Row{"other.example", "", false, true, "", "other.example"},
       }) {
    Server server([](SSL* ssl, int) { read_to_end(ssl); });
    config::Tls tls = trusting();
    if (!row.trusted) tls.certificate.clear();
    tls.insecure = row.insecure;
    tls.server_name = row.server_name;
    auto session = connect(server, tls, row.host);
    EXPECT_EQ(session.has_value(), std::string_view(row.error).empty()) << row.host;
    if (!session) {
      EXPECT_NE(session.error().text().find(row.error), std::string::npos)
          << session.error().text();
      continue;
    }
    session->connection.socket.close();
    drain();
    EXPECT_EQ(server.name(), row.told) << row.host;
  }
}

TEST_F(TlsTest, OtherVersion) {
  Server server([](SSL*, int) {}, TLS1_2_VERSION);
  config::Tls tls = trusting();
  tls.min_version = config::TlsVersion::v1_3;
  const auto session = connect(server, tls);
  ASSERT_FALSE(session);
  EXPECT_NE(session.error().text().find("protocol version"), std::string::npos)
      << session.error().text();
}

TEST_F(TlsTest, SilentServer) {
  auto client = TlsClient::make(trusting(), "localhost.example");
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
  const Fd silent(pair[1]);
  std::optional<Result<TlsConnection>> outcome;
  auto socket = worker_.watch(Fd(pair[0]));
  Connection plain{std::move(*socket), {}, {}};
  asio::co_spawn(
      worker_.executor(),
      [&]() -> Task<> { outcome = co_await start_tls(worker_, std::move(plain), *client, 50ms); },
      asio::detached);
  run_until([&] { return outcome.has_value(); });
  EXPECT_EQ(outcome->error().code, ETIMEDOUT);
}

}  // namespace
}  // namespace hairpin::outbound
