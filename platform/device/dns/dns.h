// Which name servers the system asks for names that belong behind an interface.
//
// On Linux systemd-resolved is asked over D-Bus (org.freedesktop.resolve1, resolvectl(1) does the
// same): it needs the right to (root, or polkit), and forgets what it was told when the interface
// goes. A library of its own, because it needs another one (libsystemd).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/strong.h"

namespace hairpin::device {

struct DnsServer {
  IpAddr address = {};
  std::uint16_t port = 0;  ///< 0: the usual one.
  /// For DNS over TLS: the name in the server's certificate.
  std::string tls_name = {};

  friend auto operator<=>(const DnsServer&, const DnsServer&) = default;
};

struct DnsDomain {
  std::string name;  ///< "example.org"; "." is all names.
  /// Only a reason to ask these servers. Otherwise also added to names without a dot.
  bool routing_only = true;

  friend auto operator<=>(const DnsDomain&, const DnsDomain&) = default;
};

struct DnsSettings {
  std::vector<DnsServer> servers = {};
  std::vector<DnsDomain> domains = {};
  /// Whether these servers are asked for names that no interface has a domain for. Empty: the
  /// system decides.
  std::optional<bool> default_route = {};
};

/// Errors: EHOSTUNREACH (systemd-resolved does not run), EACCES, ENODEV.
Result<> set_dns(IfIndex interface, const DnsSettings& settings);
/// As if it had never been set.
Result<> revert_dns(IfIndex interface);
/// What is in force. `default_route` is always said.
Result<DnsSettings> dns_settings(IfIndex interface);

}  // namespace hairpin::device
