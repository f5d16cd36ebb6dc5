// Waits until a device can be read or written, on an executor of Boost.Asio. AsyncDevice is made of
// it; nobody else needs it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/system/error_code.hpp>
#include <memory>

#include "base/result.h"
#include "platform/device/device.h"

namespace hairpin::device {

class Readiness {
 public:
  enum class Direction : std::uint8_t { read, write };

  /// Who waits. Any handler: its type ends here, so that each system can wait in a file of its own.
  class Completion {
   public:
    Completion() = default;
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;
    virtual ~Completion() = default;
    virtual void complete(boost::system::error_code error) = 0;
    virtual boost::asio::cancellation_slot slot() const = 0;
  };

  /// `device` lives longer.
  static Result<std::unique_ptr<Readiness>> create(const boost::asio::any_io_executor& executor,
                                                   const Device& device);
  Readiness() = default;
  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;
  virtual ~Readiness() = default;

  /// Completes later, from the executor, when the device is ready or the wait was cancelled.
  virtual void wait(Direction direction, std::unique_ptr<Completion> completion) = 0;
  /// All waits. From the executor.
  virtual void cancel() = 0;
};

}  // namespace hairpin::device
