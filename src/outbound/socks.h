// `socks`: through a SOCKS version 5 proxy, TCP by CONNECT, UDP by UDP ASSOCIATE.
#pragma once

#include "outbound/outbound.h"
#include "wire/socks5.h"

namespace hairpin::outbound {

class Socks final : public Outbound {
 public:
  Socks(std::string tag, Worker& worker, DialOptions options, config::Socks settings)
      : Outbound(std::move(tag)),
        worker_(worker),
        options_(std::move(options)),
        settings_(std::move(settings)) {}

  bool carries(config::Network network) const override {
    const bool wanted = network == config::Network::tcp ? settings_.tcp : settings_.udp;
    return wanted && (!options_.detour || options_.detour->carries(network));
  }
  Task<Result<Connection>> connect(Target to) override;
  Result<std::unique_ptr<UdpPath>> open_udp(UdpSink& sink) override;

  /// A control connection on which the proxy relays datagrams, and the address that takes them.
  struct Association {
    Connection control;
    Target relay;
  };
  Task<Result<Association>> associate();

  Worker& worker() { return worker_; }
  const DialOptions& options() const { return options_; }

 private:
  struct Negotiated {
    Connection connection;
    socks5::Reply reply;
  };
  /// The greeting, and authentication.
  Task<Result<>> introduce(Handshake& handshake, std::span<const std::byte> hello);
  /// Connects, authenticates, requests.
  Task<Result<Negotiated>> negotiate(socks5::Command command, Target target);

  Worker& worker_;
  DialOptions options_;
  config::Socks settings_;
};

}  // namespace hairpin::outbound
