#include <cerrno>

#include "stack/link.h"
#include "stack/user_link.h"
#include "stack/user_port.h"

namespace hairpin::stack {

/// The kernel's stack cannot be given other hosts' packets here.
Result<Link> open_link(const LinkOptions& options) {
  if (options.inbound.stack == config::StackKind::userspace) return open_user_link(options);
  return Error{"stack: only \"userspace\" is there on this system", ENOTSUP};
}

std::vector<std::string> companions_of(const config::TunInbound& /*inbound*/,
                                       const std::string& /*interface*/) {
  return {};
}

/// All of it goes with the device.
void close_link(const Link& /*link*/) {}

std::vector<std::pair<std::string, std::uint64_t>> kernel_counters(const Link& /*link*/) {
  return {};
}

std::unique_ptr<Port> open_port(Link& link, const dispatch::Capture& capture, Worker& worker,
                                std::size_t index, Lost lost) {
  return std::make_unique<UserPort>(worker, Place{capture.inbound, index, link.seats},
                                    link.addresses, std::get<UserParts>(link.parts),
                                    std::move(lost));
}

std::unique_ptr<RedirectedSyns> open_redirected_syns(Link& /*link*/, const config::Marks& /*marks*/,
                                                     Worker& /*worker*/, std::size_t /*index*/) {
  return nullptr;
}

}  // namespace hairpin::stack
