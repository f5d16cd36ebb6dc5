// Takes datagrams that the kernel has reassembled and checked for us, and keeps an association for
// each client endpoint.
//
// How it works
//
// An association is keyed by the client's address and port alone, so that all its datagrams, to
// whatever destination, leave from one socket per outbound, and whatever comes to that socket goes
// to the client: endpoint-independent mapping and filtering (RFC 4787, REQ-1 and REQ-8). It ends
// when it has been silent for as long as its kind allows:
//
//   dns       only port 53 was asked                    10 s
//   one_way   nothing has come back yet                 30 s
//   two_way   something has                             udp_timeout (5 min; REQ-5: at least 2 min)
//
// or when a new one needs its place: there are at most udp_nat_max per worker, and the one that was
// used least recently goes.
#pragma once

#include <boost/intrusive/list.hpp>
#include <memory>
#include <unordered_map>

#include "base/asio.h"
#include "base/fd.h"
#include "dispatch/capture.h"
#include "dispatch/dispatcher.h"
#include "flow/worker.h"

namespace hairpin::dispatch {

/// Brings answers to the clients of one link.
class UdpReturn {
 public:
  virtual ~UdpReturn() = default;
  /// Datagrams `from` a remote `to` a client. Worker::kHeadroom bytes before the first payload may
  /// be overwritten.
  virtual void answer(const Endpoint& from, const Endpoint& to, const platform::Burst& burst) = 0;
  /// The client's datagram to `to` cannot be carried: ICMP port unreachable.
  virtual void refuse(const Endpoint& client, const Endpoint& to,
                      std::span<const std::byte> payload) = 0;
};

struct UdpLimits {
  std::size_t associations;  ///< Per worker.
  Clock::duration two_way;
};

class UdpAssociation;

class UdpAssociations {
 public:
  UdpAssociations(Worker& worker, Dispatcher& dispatcher, const Capture& capture, UdpReturn& back,
                  UdpLimits limits);
  ~UdpAssociations();

  /// A client's datagrams, valid during the call.
  void take(const Flow& flow, const platform::Burst& burst);
  void clear();
  /// For associations that are there, too, but that none is evicted for it.
  void set_limits(UdpLimits limits) { limits_ = limits; }

 private:
  friend class UdpAssociation;
  using Handle = std::shared_ptr<UdpAssociation>;

  UdpAssociation* find_or_open(const Flow& flow);
  void close(UdpAssociation& association, const char* why);

  Worker& worker_;
  Dispatcher& dispatcher_;
  const Capture& capture_;
  UdpReturn& back_;
  UdpLimits limits_;
  std::unordered_map<Endpoint, Handle, EndpointHash> by_client_;
  std::size_t questions_ = 0;  ///< For names, that are on their way.
  struct Recency;              ///< Least recently used first.
  std::unique_ptr<Recency> recency_;
};

class UdpListener {
 public:
  /// `socket` is from platform::open_transparent_udp.
  UdpListener(Worker& worker, UdpAssociations& associations, const Capture& capture, Fd socket);
  void start() { wait(); }
  /// Datagrams that came faster than they were taken. For any thread, until `stop`.
  std::uint64_t overflows();
  void stop();

 private:
  void wait();
  void receive();

  Worker& worker_;
  UdpAssociations& associations_;
  const Capture& capture_;
  Descriptor socket_;
};

}  // namespace hairpin::dispatch
