// What a client's SYN is answered with, so that it learns what it would have learned from its
// destination itself.
#pragma once

#include <cerrno>
#include <cstdint>

#include "base/result.h"
#include "nat/build.h"

namespace hairpin::dispatch {

enum class SynAnswer : std::uint8_t {
  let_in,   ///< The kernel accepts it.
  reset,    ///< RST: nobody listens there.
  bypass,   ///< Its usual way, as if nobody had captured it. Of a port that can: syn_gate.h.
  silence,  ///< As from a dead host.
  // ICMP "destination unreachable":
  network,        ///< No route.
  host,           ///< No such host.
  administrator,  ///< Forbidden.
};

/// After an outbound has failed with `error`. What is no statement about the way to the destination
/// (a proxy that breaks its protocol, no descriptors left) is a reset: the client shall not wait.
inline SynAnswer answer_to(const Error& error) {
  switch (error.code) {
    case ETIMEDOUT:
      return SynAnswer::silence;
    case ENETUNREACH:
    case EAFNOSUPPORT:
      return SynAnswer::network;
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return SynAnswer::host;
    case EACCES:
    case EPERM:
      return SynAnswer::administrator;
    default:
      return SynAnswer::reset;
  }
}

inline bool is_icmp(SynAnswer answer) {
  return answer > SynAnswer::silence;
}

/// Requires: is_icmp(answer).
inline nat::Refusal refusal_of(SynAnswer answer) {
  if (answer == SynAnswer::network) return nat::Refusal::network;
  if (answer == SynAnswer::host) return nat::Refusal::host;
  return nat::Refusal::administrator;
}

}  // namespace hairpin::dispatch
