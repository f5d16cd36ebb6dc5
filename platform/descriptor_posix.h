#pragma once

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/asio.h"
#include "platform/sockets.h"

namespace hairpin {

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using Wait = asio::posix::descriptor_base;

inline bool is_broken(Descriptor& descriptor) {
  return platform::take_socket_error(descriptor.native_handle()) != 0;
}

}  // namespace hairpin
