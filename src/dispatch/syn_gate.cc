#include "dispatch/syn_gate.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace hairpin::dispatch {

namespace {

/// Bytes of a frame that is kept. A SYN has 60 to 100; one with data (TCP Fast Open) may have more
/// than a flood shall make us hold.
constexpr std::size_t kLargest = 2048;
/// What the kernel gets to answer while too many wait: each costs it, and us, some 10 µs.
constexpr double kPassesPerSecond = 5000;
/// Dials that may fail. Those that succeed are limited by the number of prepared connections.
constexpr double kFailuresPerSecond = 2000;
/// Remembered SYNs that were dropped. At 100,000 a second two of three are still known when they
/// are repeated a second later.
constexpr std::size_t kTurnedAway = std::size_t{1} << 18;
/// Linux only takes note of an ICMP error about a socket that is in use, and connect(2) uses it
/// until the SYN is sent: a client on this host would not hear an answer that comes at once, and
/// ask again a second later (seen).
constexpr auto kBeforeError = std::chrono::milliseconds(1);

}  // namespace

SynGate::SynGate(Worker& worker, Dispatcher& dispatcher, const Capture& capture,
                 PreparedConnections& prepared, SynPort& port)
    : worker_(worker),
      dispatcher_(dispatcher),
      capture_(capture),
      prepared_(prepared),
      port_(port),
      sweep_(worker.executor()),
      failures_(kFailuresPerSecond),
      passes_(kPassesPerSecond) {}

void SynGate::stop() {
  stopped_ = true;
  sweep_.cancel();
  for (const auto& [key, held] : waiting_) port_.forget(held.frame);
  waiting_.clear();
}

bool SynGate::take(const nat::Opening& opening, std::span<const std::byte> frame) {
  if (stopped_) return false;
  const Flow flow = capture_.flow(Network::tcp, opening.destination, opening.source);
  const FlowKey key(flow);
  if (const auto known = waiting_.find(key); known != waiting_.end()) {
    repeat(known->second, opening, frame, flow);
    return true;
  }
  // It has been let in already, or its client has, and comes again: the connection is there.
  if (prepared_.contains(key) || frame.size() > kLargest) return false;
  if (dialling_ >= prepared_.limit() || prepared_.size() >= prepared_.limit() || !failures_.any()) {
    const bool passes = may_pass(key, opening.sequence);
    worker_.counters.add(passes ? Count::tcp_syn_overload : Count::tcp_syn_dropped);
    if (!passes) port_.forget(frame);
    return !passes;
  }
  if (dispatcher_.is_loop(capture_, flow)) {
    std::vector<std::byte> copy(frame.begin(), frame.end());
    port_.refuse(copy, SynAnswer::reset);
    return true;
  }
  const std::uint64_t attempt = ++attempts_;
  try {
    waiting_.emplace(key, Held{opening.sequence, attempt, {frame.begin(), frame.end()}});
    dial(flow, attempt);
  } catch (const std::bad_alloc&) {
    // One flow's loss: whoever reads for us shall go on reading.
    waiting_.erase(key);
    worker_.counters.add(Count::tcp_syn_dropped);
    port_.forget(frame);
  }
  return true;
}

bool Allowance::any() {
  const auto now = Clock::now();
  const double passed = std::chrono::duration<double>(now - std::exchange(at_, now)).count();
  left_ = std::min(left_ + passed * per_second_, per_second_);
  return left_ >= 1;
}

bool SynGate::may_pass(const FlowKey& key, std::uint32_t sequence) {
  if (passes_.any()) {
    passes_.take();
    return true;
  }
  turned_away_.resize(kTurnedAway);
  const std::uint64_t hash = FlowKeyHash()(key) ^ (std::uint64_t{sequence} * 0x9e3779b97f4a7c15U);
  const auto mark = static_cast<std::uint32_t>(hash >> 32 | 1U);
  return std::exchange(turned_away_[hash % kTurnedAway], mark) == mark;
}

void SynGate::repeat(Held& held, const nat::Opening& opening, std::span<const std::byte> frame,
                     const Flow& flow) {
  worker_.counters.add(Count::tcp_syn_repeated);
  // The last one is what the client expects an answer to (its timestamps), and the only one if it
  // has given up and begun anew.
  port_.forget(held.frame);
  held.frame.assign(frame.begin(), frame.end());
  if (std::exchange(held.sequence, opening.sequence) == opening.sequence) return;
  // A dial that has been begun for the same ends will do, unless another process may be behind
  // them now, which may go another way.
  if (!dispatcher_.asks_process() || dialling_ >= prepared_.limit()) return;
  held.attempt = ++attempts_;
  dial(flow, held.attempt);
}

void SynGate::dial(const Flow& flow, std::uint64_t attempt) {
  asio::co_spawn(worker_.executor(), serve(flow, attempt),
                 [this, key = FlowKey(flow)](const std::exception_ptr& failure) {
                   --dialling_;
                   if (!failure) return;
                   if (const auto held = waiting_.find(key); held != waiting_.end()) {
                     port_.forget(held->second.frame);
                     waiting_.erase(held);
                   }
                   std::rethrow_exception(failure);
                 });
  ++dialling_;
}

Task<> SynGate::serve(Flow flow, std::uint64_t attempt) {
  const FlowKey key(flow);
  Approach approach = co_await dispatcher_.approach(std::move(flow), port_.bypasses());
  if (is_icmp(approach.answer)) {
    Timer pause(worker_.executor(), kBeforeError);
    (void)co_await pause.async_wait(kAsTuple);
  }
  if (approach.dialled && !approach.prepared) failures_.take();
  const auto held = waiting_.find(key);
  if (held == waiting_.end() || held->second.attempt != attempt) {
    if (approach.prepared) worker_.counters.add(Count::tcp_unclaimed);
    co_return;
  }
  std::vector<std::byte> frame = std::move(held->second.frame);
  const std::uint32_t sequence = held->second.sequence;
  waiting_.erase(held);
  if (approach.prepared) {
    worker_.counters.add(Count::tcp_unclaimed,
                         prepared_.put(key, std::move(*approach.prepared), sequence));
    sweep_later();
  }
  answer(frame, approach.answer);
}

void SynGate::answer(std::span<std::byte> frame, SynAnswer answer) {
  switch (answer) {
    case SynAnswer::let_in:
      return port_.let_in(frame);
    case SynAnswer::bypass:
      return port_.bypass(frame);
    case SynAnswer::silence:
      return port_.forget(frame);
    case SynAnswer::reset:
    case SynAnswer::network:
    case SynAnswer::host:
    case SynAnswer::administrator:
      return port_.refuse(frame, answer);
  }
}

void SynGate::sweep_later() {
  if (std::exchange(sweeping_, true)) return;
  sweep_.expires_after(PreparedConnections::kPatience);
  sweep_.async_wait([this](const boost::system::error_code& ec) {
    if (ec || stopped_) return;
    sweeping_ = false;
    worker_.counters.add(Count::tcp_unclaimed, prepared_.sweep());
    if (prepared_.size() != 0) sweep_later();
  });
}

}  // namespace hairpin::dispatch
