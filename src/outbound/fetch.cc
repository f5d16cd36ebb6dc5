#include "outbound/fetch.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "config/url.h"
#include "outbound/tls.h"
#include "platform/stream.h"

namespace hairpin::outbound {

namespace {

namespace http = boost::beast::http;

/// Of a server that says nothing.
constexpr auto kPatience = std::chrono::seconds(30);
constexpr int kMaxRedirections = 5;

using Parser = http::response_parser<http::string_body>;

Task<Result<>> receive(Worker& worker, Connection& connection, Parser& parser) {
  std::vector<std::byte> held;  // what the parser has not taken yet
  std::array<std::byte, 16384> block;
  while (!parser.is_done()) {
    const Deadline deadline(worker.watchdog, connection.socket, kPatience);
    (void)co_await connection.socket.async_wait(Wait::wait_read, kAsTuple);
    if (deadline.expired()) co_return Error{"receive", ETIMEDOUT};
    const auto got = platform::receive(connection.socket.native_handle(), block);
    if (!got && platform::would_block(got.error())) continue;
    if (!got) co_return Error("receive", got.error().code);
    boost::system::error_code ec;
    if (*got == 0) {
      parser.put_eof(ec);
      if (ec || !parser.is_done()) co_return Error{"the connection was closed too early"};
      break;
    }
    held.insert(held.end(), block.begin(), block.begin() + static_cast<std::ptrdiff_t>(*got));
    const std::size_t taken = parser.put(boost::asio::buffer(held), ec);
    if (ec && ec != http::error::need_more) co_return Error{"no HTTP response: " + ec.message()};
    held.erase(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  co_return Result<>();
}

/// One request, and its answer.
Task<Result<>> ask(Worker& worker, Outbound& through, const config::Url& url,
                   const std::string& etag, Parser& parser) {
  const Target target = target_of(url.server);
  auto connection = co_await through.connect(target);
  if (!connection) co_return connection.error();
  if (url.tls) {
    const config::Tls settings;
    auto client = TlsClient::make(settings, url.server.host);
    if (!client) co_return client.error();
    auto secured = co_await start_tls(worker, std::move(*connection), *client, kPatience);
    if (!secured) co_return secured.error();
    *connection = std::move(secured->connection);
  }
  std::string request = "GET " + url.path + " HTTP/1.1\r\nHost: " + url.authority +
                        "\r\nUser-Agent: hairpin\r\nAccept-Encoding: identity\r\n";
  if (!etag.empty()) request += "If-None-Match: " + etag + "\r\n";
  request += "Connection: close\r\n\r\n";
  Handshake exchange(worker, *connection, kPatience);
  const auto bytes = std::as_bytes(std::span(request));
  if (auto sent = co_await exchange.send(bytes); !sent) co_return sent.error();
  co_return co_await receive(worker, *connection, parser);
}

/// A redirection's target: another URL, or a path on the same server.
std::optional<config::Url> follow(const config::Url& from, const std::string& location) {
  if (!location.starts_with('/') || location.starts_with("//")) {
    return config::parse_url(location.starts_with("//") ? (from.tls ? "https:" : "http:") + location
                                                        : location);
  }
  config::Url to = from;
  to.path = location;
  return to;
}

}  // namespace

Task<Result<Fetched>> fetch(Worker& worker, Outbound& through, const config::Url& url,
                            const std::string& etag, std::size_t max) {
  config::Url at = url;
  for (int i = 0; i <= kMaxRedirections; ++i) {
    Parser parser;
    parser.body_limit(max);
    parser.eager(true);
    auto asked = co_await ask(worker, through, at, etag, parser);
    if (!asked) co_return asked.error();
    auto& response = parser.get();
    const unsigned status = response.result_int();
    const std::string location(response[http::field::location]);
    if (status / 100 == 3 && status != 304 && !location.empty()) {
      auto next = follow(at, location);
      if (!next) co_return Error{"redirected to " + location + ", which is no URL"};
      if (at.tls && !next->tls) co_return Error{"redirected to " + location + ", without TLS"};
      at = std::move(*next);
      continue;
    }
    if (status == 304 && !etag.empty()) {
      Fetched same;
      same.changed = false;
      same.etag = etag;
      co_return same;
    }
    if (status != 200) {
      co_return Error{"HTTP status " + std::to_string(status) + " " +
                      std::string(response.reason())};
    }
    Fetched fetched;
    fetched.etag = std::string(response[http::field::etag]);
    fetched.body = std::move(response.body());
    co_return fetched;
  }
  co_return Error{"redirected too often"};
}

}  // namespace hairpin::outbound
