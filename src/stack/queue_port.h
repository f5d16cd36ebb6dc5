// A port for SYNs that nftables have queued before NAT turns them to this host (auto_redirect).
//
// How it works
//
//   chain `take` ──► queue ──► take a look, ask the gate ──► verdict "once more", with a mark ──►
//   chain `answered`: on to NAT and the listener; or refused there; or left alone
//
// A packet stays in the kernel while it waits, and its connection is not known to conntrack before
// it goes on. What the gate holds is its number. Everything that is queued gets a verdict; what is
// waiting when we end is dropped by the kernel, and its sender asks again.
#pragma once

#include <optional>
#include <vector>

#include "base/asio.h"
#include "config/syn_marks.h"
#include "dispatch/syn_gate.h"
#include "flow/worker.h"
#include "platform/packet_queue.h"
#include "stack/link.h"

namespace hairpin::stack {

/// In the namespace of the calling thread, a queue for each worker: from `first` on; without it,
/// from kFirstQueue on where so many are free. Nothing, and a line in the log, where the kernel has
/// no such queues. Errors: EBUSY.
Result<std::optional<SynQueues>> open_syn_queues(std::optional<std::uint16_t> first,
                                                 unsigned workers);

class QueuePort final : public RedirectedSyns {
 public:
  /// `number`: of the queue behind `socket`.
  QueuePort(Worker& worker, Fd socket, std::uint16_t number, const config::Marks& marks);

  void start(dispatch::SynGate& gate) override;
  void stop() override;

 private:
  bool bypasses() const override { return true; }
  void let_in(std::span<std::byte> frame) override;
  void refuse(std::span<std::byte> frame, dispatch::SynAnswer answer) override;
  void bypass(std::span<std::byte> frame) override;
  void forget(std::span<const std::byte> frame) override;

  void wait();
  void drain();
  void handle(const platform::QueuedPacket& packet);
  void repeat(std::span<const std::byte> frame, Mark mark);
  /// Verdicts of one turn are given together, at its end.
  void give();

  Worker& worker_;
  Descriptor socket_;
  std::uint32_t mask_;
  config::SynMarks marks_;
  platform::QueueReader reader_;
  platform::Verdicts verdicts_;
  dispatch::SynGate* gate_ = nullptr;
  bool in_turn_ = false;
};

}  // namespace hairpin::stack
