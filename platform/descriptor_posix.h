#pragma once

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/asio.h"

namespace hairpin {

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
using Wait = asio::posix::descriptor_base;

}  // namespace hairpin
