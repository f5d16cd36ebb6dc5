// The packet that began a connection, as its listener has got it.
#pragma once

#include <cstddef>
#include <span>

namespace hairpin::platform {

/// Its IP and TCP headers, for a socket that was accepted from a listener for redirected
/// connections (TCP_SAVED_SYN); they can be had once. Empty: there are none, or more than fit.
std::span<std::byte> take_saved_syn(int socket, std::span<std::byte> into);

}  // namespace hairpin::platform
