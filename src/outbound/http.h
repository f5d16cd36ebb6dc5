// `http`: through an HTTP proxy by CONNECT. Carries TCP only.
#pragma once

#include "outbound/outbound.h"

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
  Worker& worker_;
  DialOptions options_;
  config::Http settings_;
};

}  // namespace hairpin::outbound
