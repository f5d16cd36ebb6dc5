// Looks at what the client of a connection says first, and leaves it where it is.
//
// The bytes are peeked at in the socket's own queue: nothing is copied, and nothing has to be
// handed on later. While a sniffer needs more than there is, the socket counts as readable only
// when there is more (SO_RCVLOWAT). Socket pairs know no such thing: they are looked at again every
// few milliseconds.
#pragma once

#include "base/asio.h"
#include "config/config.h"
#include "flow/flow.h"
#include "flow/stream.h"
#include "flow/worker.h"

namespace hairpin::dispatch {

/// Whether such a rule waits for a client with this destination at all.
bool listens_to_client(const config::RouteRule& rule, const Flow& flow);

/// Waits until it is known what the client speaks, or that it cannot be known, or for as long as
/// the rule allows: a client may be waiting for the server to speak first. What is found goes into
/// `flow`.
Task<> sniff_client(Worker& worker, Stream& client, const config::RouteRule& rule, Flow& flow);

}  // namespace hairpin::dispatch
