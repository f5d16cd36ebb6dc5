// Taking away, at the end, what was added to a network namespace at the start: by then the process
// may have given up the right to enter it.
#pragma once

#include <memory>

#include "base/result.h"
#include "platform/routes.h"

namespace hairpin::device {
class Netlink;
}

namespace hairpin::platform {

using device::Netlink;

/// An rtnetlink socket of the namespace in which it was opened.
class Remover {
 public:
  /// Belongs to the network namespace of the calling thread.
  static Result<Remover> open();
  Remover(Remover&&) noexcept;
  Remover& operator=(Remover&&) noexcept;
  ~Remover();

  Result<> remove(const Rule& rule);
  Result<> remove(const Route& route);
  /// Removes a device, and with a veth its other end. What is gone already is no error.
  Result<> remove(IfIndex device);

 private:
  explicit Remover(Netlink netlink);
  std::unique_ptr<Netlink> netlink_;
};

}  // namespace hairpin::platform
