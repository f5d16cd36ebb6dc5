// One thread, and what its flows share. A flow stays on the worker that accepted it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/asio.h"
#include "base/fd.h"
#include "base/result.h"
#include "flow/bypasses.h"
#include "flow/counters.h"
#include "flow/held.h"
#include "flow/loop_guard.h"
#include "flow/names.h"
#include "flow/resolver.h"
#include "flow/stations.h"
#include "flow/watchdog.h"
#include "flow/who.h"
#include "platform/descriptor.h"
#include "platform/sockets.h"
#include "platform/splice.h"

namespace hairpin {

struct Worker {
  explicit Worker(LoopGuard& guard, Who* finder = nullptr, Stations* near = nullptr,
                  Bypasses* kernel = nullptr)
      : loop_guard(guard), who(finder), stations(near), bypasses(kernel) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Bytes read at once while a flow is still small.
  static constexpr std::size_t kScratch = 64 * 1024;
  /// Bytes free before each received payload: virtio, Ethernet, IP and UDP headers.
  static constexpr std::size_t kHeadroom = 96;
  static constexpr std::size_t kBatch = 32;  ///< Messages per recvmmsg, of one or more datagrams.
  static constexpr std::size_t kIdlePipes = 32;  ///< Two descriptors each.

  /// Hands a descriptor over to Asio. Fails when the kernel has no room to watch one more; the
  /// descriptor is closed then.
  Result<Descriptor> watch(Fd fd) {
    Descriptor descriptor(executor());
    boost::system::error_code ec;
    descriptor.assign(fd.get(), ec);
    if (ec) return Error{"epoll_ctl", ec.value()};
    (void)fd.release();
    return descriptor;
  }

  Executor executor() { return context.get_executor(); }

  /// See platform::Binding.
  std::function<bool(int socket)> protect;
  /// The interface that leads out, for sockets that are to be bound to it; empty: not known.
  std::string uplink;

  // Destroyed last to first: the context's pending handlers may own flows, which use the rest.
  Counters counters;
  HeldBytes held;  ///< Datagrams that wait.
  LoopGuard& loop_guard;
  Who* who;            ///< Null: processes are not known.
  Stations* stations;  ///< Null: hardware addresses are not known.
  Bypasses* bypasses;  ///< Null: nobody tells the kernel.
  platform::PipePool pipes{kIdlePipes};
  platform::DatagramBatch datagrams{kBatch, kHeadroom};
  std::array<std::byte, kScratch> scratch{};  ///< Valid only until the next wait.
  std::vector<std::byte> fragment;            ///< The same; grows to the largest MTU in use.
  asio::io_context context{1};
  Watchdog watchdog{context.get_executor()};
  Resolver resolver{context.get_executor()};
  std::shared_ptr<Names> names;  ///< Null: there is but the system's resolver.
};

}  // namespace hairpin
