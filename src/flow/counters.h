// One counter per outcome: nothing is refused or dropped in silence. Each worker counts for itself;
// sums are made when somebody asks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "nat/translate.h"

namespace hairpin {

enum class Count : std::uint8_t {
  tcp_opened,
  tcp_closed,
  tcp_rejected,     ///< By rule or by a block outbound.
  reject_silenced,  ///< Rejections that were not told: their rule had too many (reject_window.h).
  tcp_dial_failed,  ///< The outbound could not connect.
  tcp_reset,        ///< Ended by RST of either side.
  tcp_idle_timeout,
  tcp_looped,         ///< Our own traffic came back to us.
  tcp_no_descriptor,  ///< Refused because the limit of open files was reached.
  tcp_syn_repeated,   ///< SYNs dropped: their first one is being dialled for.
  tcp_syn_overload,   ///< SYNs answered before the outbound was connected: too many waited.
  tcp_syn_dropped,    ///< SYNs beyond what may be let in like that.
  tcp_syn_lost,       ///< SYNs that came faster than they were taken.
  tcp_unclaimed,      ///< Outbound connections that no client took.
  bypassed,           ///< Flows that a rule leaves alone, and that had reached us.
  udp_opened,         ///< Associations.
  udp_closed,
  udp_evicted,   ///< The oldest had to go: udp_nat_max.
  udp_rejected,  ///< Datagrams, by rule, block, or an outbound without UDP.
  udp_dial_failed,
  udp_looped,
  udp_no_descriptor,
  udp_queue_full,   ///< Datagrams dropped while an association was being opened, or decided.
  udp_send_failed,  ///< Datagrams that the kernel would not send.
  udp_malformed,    ///< Datagrams from a proxy that are none of its protocol.
  udp_in,           ///< Datagrams from clients.
  udp_out,          ///< Datagrams to clients.
  tcp_bytes_up,
  tcp_bytes_down,
  dns_in,         ///< Questions that were answered by the DNS module.
  dns_cached,     ///< Answered from the cache.
  dns_asked,      ///< Passed on to a server.
  dns_failed,     ///< No answer came, or a damaged one.
  dns_malformed,  ///< Messages that were no question.
  dns_overload,   ///< Questions dropped while too many were on their way.
  fake_unknown,   ///< Flows to an address that stands for no name any more.
  tun_read_error,
  tun_write_error,  ///< Packets that the interface would not take.
  checksum_wrong,   ///< Packets from the interface, dropped.
  memory_short,     ///< Packets dropped, connections refused: the ceiling was reached.
  fragments_lost,   ///< Whose datagram was never whole, or contradicted itself.
  count_
};
inline constexpr std::size_t kCounts = static_cast<std::size_t>(Count::count_);
inline constexpr std::array<std::string_view, kCounts> kCountNames{
    "tcp_opened",        "tcp_closed",       "tcp_rejected",
    "reject_silenced",   "tcp_dial_failed",  "tcp_reset",
    "tcp_idle_timeout",  "tcp_looped",       "tcp_no_descriptor",
    "tcp_syn_repeated",  "tcp_syn_overload", "tcp_syn_dropped",
    "tcp_syn_lost",      "tcp_unclaimed",    "bypassed",
    "udp_opened",        "udp_closed",       "udp_evicted",
    "udp_rejected",      "udp_dial_failed",  "udp_looped",
    "udp_no_descriptor", "udp_queue_full",   "udp_send_failed",
    "udp_malformed",     "udp_in",           "udp_out",
    "tcp_bytes_up",      "tcp_bytes_down",   "dns_in",
    "dns_cached",        "dns_asked",        "dns_failed",
    "dns_malformed",     "dns_overload",     "fake_unknown",
    "tun_read_error",    "tun_write_error",  "checksum_wrong",
    "memory_short",      "fragments_lost"};

/// Written by one thread, read by any.
class Counters {
 public:
  void add(Count what, std::uint64_t amount = 1) {
    bump(counts_[static_cast<std::size_t>(what)], amount);
  }
  void add_outer(nat::Verdict verdict) { bump(outer_[static_cast<std::size_t>(verdict)], 1); }
  void add_inner(nat::Verdict verdict) { bump(inner_[static_cast<std::size_t>(verdict)], 1); }

  std::uint64_t get(std::size_t index) const { return counts_[index].load(kRelaxed); }
  std::uint64_t outer(std::size_t verdict) const { return outer_[verdict].load(kRelaxed); }
  std::uint64_t inner(std::size_t verdict) const { return inner_[verdict].load(kRelaxed); }

 private:
  using Cell = std::atomic<std::uint64_t>;
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  /// No read-modify-write: there is one writer.
  static void bump(Cell& cell, std::uint64_t by) { cell.store(cell.load(kRelaxed) + by, kRelaxed); }

  std::array<Cell, kCounts> counts_{};
  std::array<Cell, nat::kVerdicts> outer_{};
  std::array<Cell, nat::kVerdicts> inner_{};
};

}  // namespace hairpin
