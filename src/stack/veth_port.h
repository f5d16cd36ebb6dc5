// The veth link's port. The kernel carries all packets; what is left for a worker are the answers
// over UDP, which have the addresses of their remotes and so cannot come from any socket of ours.
#pragma once

#include "base/asio.h"
#include "stack/link.h"
#include "stack/udp_answers.h"

namespace hairpin::stack {

class VethPort final : public Port {
 public:
  struct Wire {
    platform::MacAddress address;  ///< Of both ends.
    std::size_t mtu;               ///< Bytes.
  };
  /// `guard` tells when the veth is removed; empty where another worker watches.
  VethPort(Worker& worker, Fd packet_socket, Fd guard, const Wire& wire,
           std::vector<IpAddr> addresses, Lost lost);

  void start() override;
  void stop() override;
  dispatch::UdpReturn& answers() override { return answers_; }

 private:
  Fd socket_;
  std::optional<Descriptor> guard_;
  UdpAnswers answers_;
  Lost lost_;
};

}  // namespace hairpin::stack
