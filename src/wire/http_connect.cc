#include "wire/http_connect.h"

#include <boost/archive/iterators/base64_from_binary.hpp>
#include <boost/archive/iterators/transform_width.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

namespace hairpin::http_connect {

namespace {

std::string base64(const std::string& text) {
  namespace it = boost::archive::iterators;
  using Encoder = it::base64_from_binary<it::transform_width<std::string::const_iterator, 6, 8>>;
  std::string out(Encoder(text.begin()), Encoder(text.end()));
  out.append((3 - text.size() % 3) % 3, '=');
  return out;
}

}  // namespace

std::string request(const Target& target, const std::optional<Credentials>& credentials) {
  const std::string authority = target.text();
  std::string out = "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n";
  if (credentials) {
    out += "Proxy-Authorization: Basic " + base64(credentials->user + ":" + credentials->password) +
           "\r\n";
  }
  return out + "\r\n";
}

Result<std::optional<Response>> parse_response(std::span<const std::byte> received) {
  namespace http = boost::beast::http;
  http::response_parser<http::empty_body> parser;
  parser.skip(true);  // the answer to CONNECT has no body, whatever its headers say
  parser.header_limit(kMaxHead);
  boost::system::error_code ec;
  const std::size_t size = parser.put(boost::asio::buffer(received.data(), received.size()), ec);
  if (ec == http::error::need_more) {
    if (received.size() < kMaxHead) return std::nullopt;
    ec = http::error::header_limit;
  }
  if (ec) return Error{"the proxy's answer is no HTTP response: " + ec.message()};
  if (!parser.is_header_done()) return std::nullopt;
  return Response{parser.get().result_int(), std::string(parser.get().reason()), size};
}

}  // namespace hairpin::http_connect
