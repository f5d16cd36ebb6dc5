#include "config/url.h"

#include <algorithm>
#include <string>

namespace hairpin::config {

std::optional<Url> parse_url(std::string_view text) {
  Url url;
  url.tls = text.starts_with("https://");
  if (!url.tls && !text.starts_with("http://")) return std::nullopt;
  text.remove_prefix(url.tls ? 8 : 7);
  const std::size_t slash = std::min(text.find_first_of("/?#"), text.size());
  const std::string_view authority = text.substr(0, slash);
  const std::string_view rest = text.substr(slash, text.find('#') - slash);
  url.path = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  url.authority = authority;
  url.server = {std::string(authority), static_cast<std::uint16_t>(url.tls ? 443 : 80)};
  const std::size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && colon + 1 < authority.size() &&
      authority.find(']', colon) == std::string_view::npos) {
    const auto port = parse_number(authority.substr(colon + 1), 65535);
    if (!port || *port == 0) return std::nullopt;
    url.server = {std::string(authority.substr(0, colon)), static_cast<std::uint16_t>(*port)};
  }
  std::string& host = url.server.host;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool clean = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  const bool bracketed = authority.starts_with('[');
  if (host.empty() || !clean || host.find_first_of("@[]") != std::string::npos ||
      bracketed != (host.find(':') != std::string::npos)) {
    return std::nullopt;
  }
  return url;
}

}  // namespace hairpin::config
