// Accepts the connections that the kernel has terminated for us.
#pragma once

#include "base/asio.h"
#include "base/fd.h"
#include "dispatch/admission.h"
#include "flow/worker.h"

namespace hairpin::dispatch {

/// How a connection has come to its listener, and so where its destination is to be read.
enum class Arrival : std::uint8_t {
  transparent,  ///< Untouched, or through the translator: from the socket's own names.
  redirected,   ///< Turned to this host by NAT, which remembers.
};

class TcpListener {
 public:
  /// `listener` is a listening socket of that kind.
  /// `admission` must outlive it.
  TcpListener(Admission& admission, Fd listener, Arrival arrival);
  void start();
  void stop();

 private:
  void wait();
  /// False when there was nothing to accept with: it is to be tried later.
  bool accept_all();
  enum class Refused : std::uint8_t { one, none, stuck };
  Refused refuse_one();
  void wait_a_moment();
  void admit(platform::Accepted accepted);
  std::optional<Flow> flow_of(const platform::Accepted& accepted);
  std::optional<Prepared> take_prepared(const Flow& flow, int socket);

  Worker& worker_;
  Admission& admission_;
  Descriptor listener_;
  Timer pause_;
  Arrival arrival_;
  Fd reserve_;  ///< Given up for a moment when there are no descriptors left.
};

}  // namespace hairpin::dispatch
