// Questions for names over one TCP connection (RFC 7766).
#pragma once

#include <memory>

#include "base/asio.h"
#include "dns/service.h"
#include "flow/flow.h"
#include "flow/stream.h"
#include "flow/worker.h"

namespace hairpin::dispatch {

/// Answers what `client` asks, in the order in which answers come, until it is done or silent.
Task<> serve_dns_stream(Worker& worker, Stream client, Flow flow,
                        std::shared_ptr<dns::Service> names);

}  // namespace hairpin::dispatch
