#include "outbound/http.h"

#include "wire/http_connect.h"

namespace hairpin::outbound {

namespace {

/// What the proxy's refusal says about the target (RFC 9110, 15.6), as an errno.
int status_errno(unsigned status) {
  switch (status) {
    case 403:
    case 407:
      return EACCES;
    case 502:
    case 503:
      return EHOSTUNREACH;
    case 504:
      return ETIMEDOUT;
    default:
      return 0;
  }
}

}  // namespace

Task<Result<Connection>> Http::reach_proxy() {
  auto plain = co_await dial(worker_, settings_.server, options_);
  if (!plain || !settings_.tls.enabled) co_return plain;
  if (!tls_) {
    auto made = TlsClient::make(settings_.tls, settings_.server.host);
    if (!made) co_return made.error();
    tls_ = std::move(*made);
  }
  auto secured = co_await start_tls(worker_, std::move(*plain), tls_, options_.connect_timeout);
  if (!secured) co_return secured.error();
  co_return std::move(secured->connection);
}

Task<Result<Connection>> Http::connect(Target to) {
  auto connection = co_await reach_proxy();
  if (!connection) co_return std::move(connection.error()).in("proxy").on_the_way();
  Handshake handshake(worker_, *connection, options_.connect_timeout);
  std::optional<http_connect::Credentials> credentials;
  if (!settings_.username.empty()) credentials = {settings_.username, settings_.password};

  const std::string request = http_connect::request(to, credentials);
  if (auto sent = co_await handshake.send(std::as_bytes(std::span(request))); !sent) {
    co_return std::move(sent.error()).on_the_way();
  }
  auto response = co_await handshake.receive(http_connect::parse_response, http_connect::kMaxHead);
  if (!response) co_return response.error();
  if (response->status / 100 != 2) {
    Error refused{"HTTP CONNECT " + to.text() + ": " + std::to_string(response->status) + " " +
                      response->reason,
                  status_errno(response->status)};
    if (response->status == 407) co_return std::move(refused).on_the_way();  // our own name
    co_return refused;
  }
  connection->early = handshake.take_rest();
  co_return std::move(*connection);
}

}  // namespace hairpin::outbound
