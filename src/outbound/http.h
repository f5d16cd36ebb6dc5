// `http`: through an HTTP proxy by CONNECT, with TLS in between where it is asked for. Carries TCP
// only.
#pragma once

#include "outbound/outbound.h"
#include "outbound/tls.h"

namespace hairpin::outbound {

class Http final : public Outbound {
 public:
  Http(std::string tag, Worker& worker, DialOptions options, config::Http settings)
      : Outbound(std::move(tag)),
        worker_(worker),
        options_(std::move(options)),
        settings_(std::move(settings)) {}

  bool carries(config::Network network) const override { return network == config::Network::tcp; }
  Task<Result<Connection>> connect(Target to) override;
  Result<std::unique_ptr<UdpPath>> open_udp(UdpSink&) override {
    return Error{"an HTTP proxy carries no UDP", EOPNOTSUPP};
  }

 private:
  Task<Result<Connection>> reach_proxy();

  Worker& worker_;
  DialOptions options_;
  config::Http settings_;
  std::shared_ptr<TlsClient> tls_;  ///< Made when it is first needed.
};

}  // namespace hairpin::outbound
