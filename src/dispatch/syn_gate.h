// Answers a client only when its destination has answered: faithful connect.
//
// How it works
//
//   port: a SYN ──► take() ──► rules ──► dial ──► connected: put the connection with the prepared
//                     │                           ones, give the SYN back to the port, which lets
//                     it │                           in; the kernel shakes hands, a listener
//                     accepts, │                           and finds the connection │ └───────►
//                     not: RST, ICMP unreachable or silence └► false: the port lets it in at once,
//                     and the dial follows (eager)
//
// The packet itself waits, not a description of it: what is let in is what the client has sent.
// While it waits, its repetitions are dropped, as they would be on the way to a host that is slow
// to answer. When the dial has ended without an answer, the next repetition is a new attempt, as it
// would be for a host that has come up meanwhile.
//
// Eager are flows whose rules want to see the client's first bytes, and all flows while too many
// wait, or too many dials have failed: a flood of SYNs reaches these limits soon. For the kernel a
// SYN is dear, so what is beyond some thousand a second is dropped, but for repetitions: who wants
// a connection asks again, while a flood of made-up addresses does not.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/asio.h"
#include "dispatch/capture.h"
#include "dispatch/dispatcher.h"
#include "dispatch/prepared.h"
#include "dispatch/syn_answer.h"
#include "flow/worker.h"
#include "nat/opening.h"

namespace hairpin::dispatch {

/// A link's port, as the gate sees it. `frame` is what the port has handed to the gate; it may be
/// changed.
class SynPort {
 public:
  virtual ~SynPort() = default;
  /// On to the listeners.
  virtual void let_in(std::span<std::byte> frame) = 0;
  /// Whether it can leave a connection to the kernel, as if we were not there.
  virtual bool bypasses() const { return false; }
  /// Back to the client. Requires: a RST or an ICMP error.
  virtual void refuse(std::span<std::byte> frame, SynAnswer answer) = 0;
  /// Not to us, and nor is what follows it. Requires: bypasses().
  virtual void bypass(std::span<std::byte> frame) { let_in(frame); }
  /// It is dropped: for a port that has to say so.
  virtual void forget(std::span<const std::byte> frame) { (void)frame; }
};

/// So many a second, and as many at once.
class Allowance {
 public:
  explicit Allowance(double per_second) : per_second_(per_second), left_(per_second) {}
  bool any();               ///< Whether one may be taken.
  void take() { --left_; }  ///< Whether or not there is one.

 private:
  double per_second_;
  double left_;
  Clock::time_point at_ = Clock::now();
};

/// One per worker and link.
class SynGate {
 public:
  /// All must outlive the gate.
  SynGate(Worker& worker, Dispatcher& dispatcher, const Capture& capture,
          PreparedConnections& prepared, SynPort& port);
  void stop();

  /// True: the packet is dealt with, now or later, and a copy of `frame` is kept if need be. False:
  /// it is to be let in. `opening` has the names that the listeners would see.
  bool take(const nat::Opening& opening, std::span<const std::byte> frame);

 private:
  struct Held {
    std::uint32_t sequence;
    std::uint64_t attempt;
    std::vector<std::byte> frame;
  };
  using Waiting = std::unordered_map<FlowKey, Held, FlowKeyHash>;

  void dial(const Flow& flow, std::uint64_t attempt);
  Task<> serve(Flow flow, std::uint64_t attempt);
  void answer(std::span<std::byte> frame, SynAnswer answer);
  void repeat(Held& held, const nat::Opening& opening, std::span<const std::byte> frame,
              const Flow& flow);
  /// Whether one more may be let in while too many wait.
  bool may_pass(const FlowKey& key, std::uint32_t sequence);
  void sweep_later();

  Worker& worker_;
  Dispatcher& dispatcher_;
  const Capture& capture_;
  PreparedConnections& prepared_;
  SynPort& port_;
  Timer sweep_;
  bool sweeping_ = false;
  bool stopped_ = false;
  std::uint64_t attempts_ = 0;
  std::size_t dialling_ = 0;  ///< Coroutines: those that are wanted no more, too.
  Waiting waiting_;
  Allowance failures_;                      ///< Dials that came to nothing.
  Allowance passes_;                        ///< SYNs let in while too many wait.
  std::vector<std::uint32_t> turned_away_;  ///< Hashes, each in the place that it says.
};

}  // namespace hairpin::dispatch
