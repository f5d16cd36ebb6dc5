// The nftables part of a plan (plan.h). Pure.
//
// How it works
//
// Chain `forwarded` judges the first packet of each connection of another host, and `local`, where
// that is wanted, of this one; the connection's mark keeps the verdict, so that a change of the
// conditions moves no connection that runs. What is to be captured gets the input mark, by which
// the routing rules know it. Only what began inside is captured: answers to a connection that came
// from outside, and what is addressed to this host (a service, a published port before it is
// translated), pass by.
//
// With auto_redirect TCP is not routed: the chains of type nat turn it to a listener of this host.
// Their verdict must leave out networks that the host knows by itself, which rules otherwise do.
// Where somebody waits for it, a SYN is queued at the end of `take`, and comes once more with a
// mark that says what becomes of it: chain `answered`.
//
// The wall: chains that let nothing leave this host but by the interface, by our own sockets and
// others that are marked, as an answer, or to a network that the host knows.
#pragma once

#include "host/plan.h"

namespace hairpin::host {

/// `prefixes`: what is to be captured, of both families.
nft::Table make_capture(const Policy& policy, const Snapshot& host,
                        const std::vector<Prefix>& prefixes);

/// The wall that outlives us; empty unless that is wanted.
std::optional<nft::Table> make_wall(const Policy& policy, const Snapshot& host,
                                    const std::vector<Prefix>& prefixes);

/// What must be let in by firewalls that drop what they do not know: of a TUN link, what has come
/// through the interface already; for a gateway, what it forwards.
std::vector<nft::Opening> make_openings(const Policy& policy, const Snapshot& host);

/// The sets of destinations that rules have found to be left alone, one of each family, in the
/// table of `make_capture` where `bypasses` is wanted.
std::vector<nft::Set> bypass_sets(const std::vector<nft::SetEndpoint>& endpoints);

/// Never routed: multicast, broadcast, link-local (RFC 1112, RFC 3927, RFC 4291).
const std::vector<Prefix>& here(Family family);

bool carries(const Policy& policy, Family family);

}  // namespace hairpin::host
