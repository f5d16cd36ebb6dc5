// TUN devices of Windows: Wintun (https://www.wintun.net), a driver that comes as one DLL. It lies
// beside the program and is loaded when a device is asked for: hairpin is neither linked to it nor
// brings it.
//
// How it works
//
// A session is two rings in memory that the driver shares with this process, one for each
// direction. To receive is to take a pointer into the ring, look at the packet, and give the
// pointer back; to send is to be given room in the ring, fill it, and hand it over. An event tells
// when the ring of what has arrived is no longer empty; Asio waits for it. No system call is made
// for a packet as long as both sides are busy.
#pragma once

#include <boost/asio/windows/basic_object_handle.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/asio.h"
#include "base/result.h"

namespace hairpin::platform {

struct WintunOptions {
  std::string name;               ///< Of the adapter, as people see it.
  std::string description;        ///< Its type; "hairpin" if empty.
  std::uint32_t ring = 0x800000;  ///< Bytes of each ring: a power of two from 128 KiB to 64 MiB.
};

/// wintun.dll, with all functions that are used.
class WintunLibrary {
 public:
  /// Looks beside the program only: a DLL from elsewhere could be anybody's. `path` is for tests.
  /// The error names the file, or the function that it lacks.
  static Result<std::shared_ptr<WintunLibrary>> load(const std::wstring& path = {});
  ~WintunLibrary();
  WintunLibrary(const WintunLibrary&) = delete;
  WintunLibrary& operator=(const WintunLibrary&) = delete;

  /// Of the driver that is loaded, "0.14"; empty: none is, yet.
  std::string driver_version() const;

  struct Functions;
  const Functions& functions() const { return *functions_; }

 private:
  explicit WintunLibrary(HMODULE module);
  HMODULE module_;
  std::unique_ptr<Functions> functions_;
};

/// An adapter with a running session. The adapter goes with it. For one thread, but `allocate` and
/// `send`, which any may call.
class Wintun {
 public:
  using Handler = std::function<void(std::span<std::byte> packet)>;

  /// Error codes: EACCES, when not run as administrator.
  static Result<Wintun> open(std::shared_ptr<WintunLibrary> library, const WintunOptions& options);
  Wintun(Wintun&&) noexcept;
  Wintun& operator=(Wintun&&) noexcept;
  ~Wintun();

  /// What iphlpapi knows the adapter by (NET_LUID).
  std::uint64_t luid() const;

  /// Hands each packet that arrives to `packet`, which may change it, on `executor`'s thread;
  /// `failed` is told why there will be no more (the adapter has been removed), `turn_ended` that
  /// the other flows of the thread have their turn.
  void start(
      const Executor& executor, Handler packet, std::function<void(const Error&)> failed,
      std::function<void()> turn_ended = [] {});
  void stop();

  /// Room for a packet in the ring, to be filled and handed over by `send`. Error code ENOBUFS: the
  /// ring is full. Rooms must be handed over all, and go in the order in which they were taken.
  Result<std::span<std::byte>> allocate(std::size_t size);
  void send(std::span<std::byte> packet);

 private:
  struct State;
  explicit Wintun(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace hairpin::platform
