// TLS towards a server: of HTTPS proxies, and of name servers. Names and defaults are sing-box's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hairpin::config {

/// Older ones are refused by OpenSSL at its usual security level (RFC 8996).
enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

struct Tls {
  bool enabled = false;
  std::string server_name;  ///< In its certificate, and told to it; empty: the server's host.
  bool insecure = false;    ///< Any certificate will do.
  bool disable_sni = false;
  std::vector<std::string> alpn;  ///< Protocols to offer (RFC 7301), the best first.
  TlsVersion min_version = TlsVersion::v1_2;
  TlsVersion max_version = TlsVersion::v1_3;
  /// PEM: who is trusted, instead of those that the system trusts; empty: the system's.
  std::string certificate;
  std::string certificate_path;  ///< Read into `certificate` when the configuration is loaded.

  friend bool operator==(const Tls&, const Tls&) = default;
};

}  // namespace hairpin::config
