// `direct`: connects to the destination itself.
#pragma once

#include "outbound/outbound.h"

namespace hairpin::outbound {

class Direct final : public Outbound {
 public:
  Direct(std::string tag, Worker& worker, DialOptions options)
      : Outbound(std::move(tag)), worker_(worker), options_(std::move(options)) {}

  bool carries(config::Network) const override { return true; }
  Task<Result<Connection>> connect(Target to) override;
  Result<std::unique_ptr<UdpPath>> open_udp(UdpSink& sink) override;

 private:
  Worker& worker_;
  DialOptions options_;
};

}  // namespace hairpin::outbound
