#include "config/proxy_url.h"

#include <optional>
#include <string>

#include "base/address.h"

namespace hairpin::config {

namespace {

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  return std::nullopt;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = hex_digit(text[i + 1]);
    const auto low = hex_digit(text[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high << 4 | *low);
    i += 2;
  }
  return out;
}

}  // namespace

Result<nlohmann::json> parse_proxy_url(std::string_view url) {
  const auto wrong = [&](const char* why) {
    return Error{"proxy URL \"" + std::string(url) + "\": " + why +
                 "; expected for example socks5://127.0.0.1:1080 or http://user:pass@host:8080"};
  };
  const auto separator = url.find("://");
  if (separator == std::string_view::npos) return wrong("no scheme");
  const auto scheme = url.substr(0, separator);
  std::string_view rest = url.substr(separator + 3);
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);

  // Named: a json value converts to nearly anything, so which Result is meant must be said.
  using Value = Result<nlohmann::json>;
  nlohmann::json outbound{{"tag", "proxy"}};
  if (scheme == "direct" || scheme == "block") {
    if (!rest.empty()) return wrong("takes nothing behind the scheme");
    outbound["type"] = scheme;
    return Value(boost::system::in_place_value, std::move(outbound));
  }
  if (scheme == "socks5" || scheme == "socks5h" || scheme == "socks") {
    outbound["type"] = "socks";
    outbound["server_port"] = 1080;
  } else if (scheme == "http") {
    outbound["type"] = "http";
    outbound["server_port"] = 8080;
  } else if (scheme == "https") {
    outbound["type"] = "http";
    outbound["server_port"] = 443;
    outbound["tls"] = {{"enabled", true}};
  } else {
    return wrong("unknown scheme (known: socks5, http, https, direct, block)");
  }

  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    const auto credentials = rest.substr(0, at);
    const auto colon = credentials.find(':');
    const auto user = percent_decoded(credentials.substr(0, colon));
    const auto password =
        colon == std::string_view::npos ? "" : percent_decoded(credentials.substr(colon + 1));
    if (!user || !password || user->empty()) return wrong("user or password is malformed");
    outbound["username"] = *user;
    outbound["password"] = *password;
    rest = rest.substr(at + 1);
  }

  std::string_view host = rest;
  std::string_view port;
  if (rest.starts_with('[')) {
    const auto close = rest.find(']');
    if (close == std::string_view::npos) return wrong("the address lacks its ]");
    host = rest.substr(1, close - 1);
    port = rest.substr(close + 1);
    if (!port.empty() && !port.starts_with(':')) return wrong("unexpected text behind ]");
    if (!port.empty()) port.remove_prefix(1);
    const auto address = IpAddr::parse(host);
    if (!address || address->is_v4()) return wrong("no IPv6 address between [ and ]");
  } else if (const auto colon = rest.find(':'); colon != std::string_view::npos) {
    host = rest.substr(0, colon);
    port = rest.substr(colon + 1);
    if (port.empty()) return wrong("no port behind the colon");
    if (port.find(':') != std::string_view::npos) return wrong("an IPv6 address needs [ and ]");
  }
  if (host.empty()) return wrong("no host");
  if (host.find_first_of("/?# ") != std::string_view::npos) return wrong("takes no path");
  outbound["server"] = host;
  if (!port.empty()) {
    const auto number = parse_number(port, 65535);
    if (!number || *number == 0) return wrong("the port is no number from 1 to 65535");
    outbound["server_port"] = *number;
  }
  return Value(boost::system::in_place_value, std::move(outbound));
}

}  // namespace hairpin::config
