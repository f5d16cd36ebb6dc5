// --proxy URL: the outbound that a URL describes.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/result.h"

namespace hairpin::config {

/// "socks5://user:password@host:1080" (also socks://, socks5h://), "http://host:8080",
/// "https://host" (an HTTP proxy that speaks TLS), "direct://", "block://" as the JSON object of an
/// outbound. User and password may be percent-encoded
/// (RFC 3986). Default ports are 1080, 8080 and 443.
Result<nlohmann::json> parse_proxy_url(std::string_view url);

}  // namespace hairpin::config
