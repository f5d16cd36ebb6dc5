// A link carries packets between an interface, to which applications are routed, and whatever
// terminates TCP and UDP for us: the kernel's own stack, on listeners of ours, or one in user
// space. There are three:
//
//   link   the interface    how packets reach the stack              needs
//   -----  ---------------  ---------------------------------------  -----------------------------
//   veth   one end of a     the other end is in a private network    CAP_SYS_ADMIN (or a user
//          veth pair        namespace, where everything is           namespace): making a namespace
//                           delivered; no packet is ever touched
//   tun    a TUN device     a pump reads, translates (nat/) and      CAP_NET_ADMIN, /dev/net/tun
//                           writes to a second TUN; `mixed`: only
//                           TCP, datagrams are taken out here
//   user   a TUN device     they are read, and end in this process   CAP_NET_ADMIN, /dev/net/tun;
//                                                                    or only a TUN that is handed
//                                                                    over
//
// Whoever sets up routes and firewall sees one interface with a name and addresses, and need not
// know which it is. Of what a link is made all is bound to descriptors but what `close_link`
// removes, and whatever a killed process leaves behind does nothing without the rest.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/strong.h"
#include "config/config.h"
#include "dispatch/capture.h"
#include "dispatch/syn_gate.h"
#include "dispatch/udp_listener.h"
#include "flow/worker.h"
#include "nft/ruleset.h"
#include "platform/ip_statistics.h"
#include "platform/remover.h"
#include "platform/tun.h"
#include "platform/veth.h"
#include "stack/seats.h"

namespace hairpin::stack {

struct LinkOptions {
  config::TunInbound inbound;
  unsigned workers = 1;
  Mark own_mark;      ///< Of our outbound sockets in the same namespace; 0 if they are elsewhere.
  int adopt_fd = -1;  ///< A TUN that somebody else made: see platform::adopt_tun.
  /// Bytes for packets that a stack in user space holds, about; 0: no limit.
  std::size_t memory_limit = 0;
};

/// The sockets of one family.
struct FamilyListeners {
  Family family = Family::v4;
  std::vector<Fd> tcp;  ///< One per worker, on one port.
  std::vector<Fd> udp;  ///< A power of two; a client's source port chooses among them.
  std::uint16_t tcp_port = 0;
};

struct TunParts {
  platform::Tun outer;
  platform::Tun inner;
};

/// Of `stack: userspace`.
struct UserParts {
  platform::Tun tun;
  unsigned mtu = 0;              ///< Bytes.
  unsigned length = 0;           ///< Packets in its queue.
  std::size_t memory_limit = 0;  ///< LinkOptions
};

struct VethParts {
  Fd space;                        ///< The private namespace.
  std::vector<Fd> packet_sockets;  ///< On the inner end, one per worker.
  /// For the SYNs that arrive there, a power of two; and one on the outer end, from which those
  /// that are let in are sent once more. Empty: the kernel accepts all of them.
  std::vector<Fd> syn_sockets;
  Fd release;
  Fd guard;                           ///< Tells when the veth is removed.
  Fd private_nft;                     ///< Owns the private namespace's table.
  platform::IpStatistics statistics;  ///< Of the private namespace.
  platform::MacAddress address{};     ///< Of both ends.
  unsigned mtu = 0;                   ///< Bytes, of both ends.
};

/// SYNs that are asked about before NAT turns them.
struct SynQueues {
  nft::Queue numbers;
  std::vector<Fd> sockets;  ///< One for each of them, and for each worker.
};

/// Owns devices, sockets and nftables tables.
struct Link {
  std::string name;                     ///< Of the interface.
  std::vector<IpAddr> addresses;        ///< Of the interface.
  std::vector<std::string> companions;  ///< Other interfaces beside it.
  std::string why;                      ///< What `auto` could not have, and so chose this one.
  std::vector<FamilyListeners> listeners;
  /// For TCP that NAT turns to this host (auto_redirect), in the interface's namespace.
  std::vector<FamilyListeners> redirected;
  /// For what those listeners get; empty: the kernel accepts all of it.
  std::optional<SynQueues> queues;
  std::variant<TunParts, VethParts, UserParts> parts;
  /// Of flows that are found in packets; empty: all come by listeners.
  std::shared_ptr<Seats> seats;
  Fd nft_owner;  ///< Owns the table in the interface's namespace; empty if none is needed.
  std::vector<platform::Rule> rules;         ///< Removed at the end.
  IfIndex device;                            ///< Removed at the end; 0: goes with its descriptors.
  std::optional<platform::Remover> remover;  ///< Empty where the namespace ends with us.

  bool is_veth() const { return std::holds_alternative<VethParts>(parts); }
};

/// The other interfaces that such an inbound's link has, where the interface has this name;
/// `automatic` is taken for a veth.
std::vector<std::string> companions_of(const config::TunInbound& inbound,
                                       const std::string& interface);

/// Sets a link up, or nothing of it, with the interface in the network namespace of the calling
/// thread, which is in the same one afterwards. `automatic` takes a veth where the kernel and our
/// rights allow it.
Result<Link> open_link(const LinkOptions& options);

/// Removes what does not go with its descriptors.
void close_link(const Link& link);

/// One line for people: name, addresses, kind, what the kernel does for it.
std::string describe(const Link& link);

/// How names of sockets become flows: dispatch/capture.h.
dispatch::Capture capture_of(const Link& link, std::size_t inbound, bool same_namespace);

/// The same for what NAT turns to this host, whatever the link does with packets.
dispatch::Capture redirection_of(const Link& link, std::size_t inbound, bool same_namespace);

/// Named counters that the kernel keeps for the link, beside those of the workers.
std::vector<std::pair<std::string, std::uint64_t>> kernel_counters(const Link& link);

/// One worker's part of a link, beside the listeners.
class Port {
 public:
  virtual ~Port() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  /// Brings answers to the clients.
  virtual dispatch::UdpReturn& answers() = 0;
  /// Lets SYNs in, or refuses them. Null: SYNs cannot be held here.
  virtual dispatch::SynPort* syns() = 0;
  /// From now on `gate`, which must outlive the port's last packet, is asked about each SYN.
  /// Requires: syns() is not null. To be called before `start`.
  virtual void hold_syns(dispatch::SynGate& gate) = 0;
  /// For links that find flows in packets: who has them on this worker. Both must outlive the
  /// link's last packet. To be called before any port is started.
  virtual void take_seat(dispatch::UdpAssociations& associations, dispatch::Admission& admission) {
    (void)associations;
    (void)admission;
  }
};

/// Called on a worker's thread when somebody has removed the interface.
using Lost = std::function<void()>;

/// Takes worker `index`'s descriptors out of the link. Workers are asked from the last to the
/// first: those beyond the number of a handed-over device's queues copy the first one's.
/// `capture` must outlive the port.
std::unique_ptr<Port> open_port(Link& link, const dispatch::Capture& capture, Worker& worker,
                                std::size_t index, Lost lost);

/// One worker's part of what NAT turns to this host: its SYNs, before they are turned.
class RedirectedSyns : public dispatch::SynPort {
 public:
  /// From now on `gate`, which must outlive the port's last packet, is asked about each SYN.
  virtual void start(dispatch::SynGate& gate) = 0;
  virtual void stop() = 0;
};

/// Takes worker `index`'s queue out of the link. Null: the kernel accepts all of it.
std::unique_ptr<RedirectedSyns> open_redirected_syns(Link& link, const config::Marks& marks,
                                                     Worker& worker, std::size_t index);

}  // namespace hairpin::stack
