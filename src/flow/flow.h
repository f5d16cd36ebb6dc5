// What travels through the program: one TCP connection, or one UDP datagram's pair of ends.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "config/config.h"
#include "rule/domain_set.h"
#include "rule/facts.h"

namespace hairpin {

using config::Network;

struct Flow {
  Network network = Network::tcp;
  Endpoint client;
  Endpoint destination;
  std::size_t inbound = 0;  ///< Index in Config::inbounds.
  /// Of the destination, in lower case; empty: not known. Where the client has asked for it to get
  /// its destination, that is unspecified or an answer that it was given; otherwise this is what
  /// its first bytes say.
  std::string domain = {};
  bool asked_for = false;  ///< The client has: proxies are told the name.
  /// Of `domain`, where a rule has had it resolved; the first is `destination`'s.
  std::vector<IpAddr> addresses = {};
  std::string protocol =
      {};  ///< That its first bytes have shown ("tls", "http"); empty: not known.

  std::shared_ptr<const rule::Process> process = {};  ///< Null: not known.
  std::optional<rule::MacAddress> source_mac = {};    ///< Of the client; empty: not known.
  std::optional<config::Duration> udp_timeout = {};   ///< Shorter than the inbound's.

  /// What a rule changes.
  void apply(const config::FlowOptions& options) {
    if (options.override_address) {
      destination.address = *options.override_address;
      asked_for = false;
    }
    if (options.override_port) destination.port = *options.override_port;
    if (options.udp_timeout) udp_timeout = options.udp_timeout;
  }

  /// Requires: at least one address.
  void resolved(std::vector<IpAddr> found) {
    addresses = std::move(found);
    destination.address = addresses.front();
    asked_for = false;
  }

  /// False where the client knows only a name: its address was one that stands for it.
  bool has_address() const { return !destination.address.is_unspecified(); }

  std::string text() const {
    const std::string to = has_address() || domain.empty()
                               ? destination.text()
                               : domain + ":" + std::to_string(destination.port);
    return std::string(config::name(network)) + " " + client.text() + " -> " + to;
  }
};

/// A name as flows have it: lower case, without a dot at its end.
inline std::string normal_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  return rule::lower(text);
}

}  // namespace hairpin
