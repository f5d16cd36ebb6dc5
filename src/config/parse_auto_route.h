// The fields of a tun inbound by which traffic is brought to it, and what they must not say
// together.
#pragma once

#include <vector>

#include "config/reader.h"

namespace hairpin::config {

std::vector<Field<TunInbound>> auto_route_fields();

/// What concerns the inbound alone.
void check_auto_route(const Reader& reader, const AutoRoute& wanted);

/// sing-box's name for the mark of outbound sockets, which here is the route's.
void settle_marks(const Reader& root, Config& config);

/// What concerns inbounds and outbounds together.
void check_kept_out(Problems& problems, const Config& config);

}  // namespace hairpin::config
