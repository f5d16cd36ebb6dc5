// `block`: nothing goes out.
#pragma once

#include "outbound/outbound.h"

namespace hairpin::outbound {

class Block final : public Outbound {
 public:
  using Outbound::Outbound;
  bool carries(config::Network) const override { return false; }
  Task<Result<Connection>> connect(Target) override { co_return Error{"blocked", EACCES}; }
  Result<std::unique_ptr<UdpPath>> open_udp(UdpSink&) override { return Error{"blocked", EACCES}; }
};

}  // namespace hairpin::outbound
