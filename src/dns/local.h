// The name servers of the system.
#pragma once

#include <vector>

#include "dns/hosts.h"
#include "dns/upstream.h"

namespace hairpin::dns {

/// Asks what /etc/hosts says, and then the servers that /etc/resolv.conf names (resolv.conf(5)),
/// one after the other; both are looked at again when they have changed. getaddrinfo(3) would not
/// do: it knows addresses only, and would ask through sockets that are captured.
class LocalUpstream final : public Upstream {
 public:
  LocalUpstream(Worker& worker, std::shared_ptr<outbound::Outbound> through)
      : worker_(worker), through_(std::move(through)) {}
  Task<Result<Bytes>> exchange(const Query& query, Clock::duration patience) override;

 private:
  void refresh();

  Worker& worker_;
  std::shared_ptr<outbound::Outbound> through_;
  std::string seen_;  ///< What tells that the files are the same as before.
  std::vector<std::shared_ptr<UdpUpstream>> servers_;
  Hosts hosts_;
};

}  // namespace hairpin::dns
