// What becomes of a SYN that nftables have queued (host/chains.h) is told to them by its mark.
#pragma once

#include "config/config.h"

namespace hairpin::config {

/// Each is another value, and none is 0.
struct SynMarks {
  Mark let_in;  ///< To the listener.
  Mark reset;
  Mark leave;  ///< It goes its usual way, and so does its connection.
  // ICMP errors:
  Mark network;
  Mark host;
  Mark administrator;
};
/// Bits that a mask must have for them.
inline constexpr int kSynMarkBits = 3;

/// Those that are named are as they are named, the others are the next values of the mask that are
/// left. Requires: kSynMarkBits in the mask.
SynMarks syn_marks(const Marks& marks);

}  // namespace hairpin::config
