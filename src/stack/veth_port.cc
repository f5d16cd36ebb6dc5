#include "stack/veth_port.h"

#include <cerrno>

#include "platform/sockets.h"

namespace hairpin::stack {

VethPort::VethPort(Worker& worker, Fd packet_socket, Fd guard, const Wire& wire,
                   std::vector<IpAddr> addresses, Lost lost)
    : socket_(std::move(packet_socket)),
      answers_(worker, socket_.get(), {true, true, wire.address, wire.mtu}, std::move(addresses)),
      lost_(std::move(lost)) {
  if (guard) guard_.emplace(worker.executor(), guard.release());
}

void VethPort::start() {
  if (!guard_) return;
  guard_->async_wait(Wait::wait_error, [this](const boost::system::error_code& ec) {
    if (ec) return;
    if (platform::take_socket_error(guard_->native_handle()) == ENETDOWN) return lost_();
    start();
  });
}

void VethPort::stop() {
  boost::system::error_code ignored;
  if (guard_) guard_->close(ignored);
}

}  // namespace hairpin::stack
