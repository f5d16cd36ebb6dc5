// The server name in a TLS ClientHello (RFC 8446, 4.1.2; RFC 6066, 3).
#pragma once

#include <span>
#include <string>

#include "sniff/sniff.h"

namespace hairpin::sniff {

struct Hello {
  Verdict verdict = Verdict::no;
  std::string domain;  ///< Of Verdict::yes; empty: it names none, or none that can be.
};

/// The handshake message, of which the end may be missing: the name is found as soon as it is
/// there.
Hello read_hello(std::span<const std::byte> handshake);

/// The same in TLS records, which may split it anywhere.
Hello read_hello_records(std::span<const std::byte> stream);

}  // namespace hairpin::sniff
