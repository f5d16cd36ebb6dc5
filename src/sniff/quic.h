// The server name in the first flight of a QUIC connection, versions 1 and 2 (RFC 9000, RFC 9001,
// RFC 9369).
//
// How it works
//
// Initial packets are encrypted with keys that anybody can derive from the connection's first
// destination id: that keeps out who only guesses. The ClientHello inside comes in CRYPTO frames,
// which name their place in it: clients shuffle them, and where the hello is long they spread it
// over several datagrams. So frames are collected until what lies unbroken from the beginning has
// the name.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sniff/sniff.h"

namespace hairpin::sniff {

class Quic {
 public:
  /// The next datagram of the same client and destination. `no` is for good.
  Finding feed(std::span<const std::byte> datagram);

 private:
  struct Keys;
  Verdict read_packet(std::span<const std::byte> packet, std::size_t number_at, const Keys& keys);
  Verdict read_frames(std::span<const std::byte> payload);
  bool keep(std::uint64_t offset, std::span<const std::byte> bytes);

  std::vector<std::byte> id_;  ///< The first destination id: keys are made from it.
  std::uint32_t version_ = 0;
  std::map<std::uint64_t, std::vector<std::byte>> pieces_;  ///< By their place in the hello.
  std::size_t kept_ = 0;
  unsigned datagrams_ = 0;
};

/// Whether a datagram may be an Initial of a version that is known.
bool is_quic_initial(std::span<const std::byte> datagram);

}  // namespace hairpin::sniff
