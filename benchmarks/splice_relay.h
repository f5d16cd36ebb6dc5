// Two connected sockets become one way, by splice(2), in an edge-triggered loop. The SOCKS5 server
// and the redirect loop are this and a way of learning whom to connect to.
#pragma once

#include <array>
#include <string_view>

#include "platform/splice.h"
#include "support.h"

namespace hairpin::bench {

/// What is said to the client when the connection behind is up, or has failed, before any byte of
/// it. Both may be empty. They live as long as the program.
struct Answers {
  std::string_view connected;
  std::string_view failed;
};

/// Ends itself when both directions have ended, or either socket has failed: then the other side
/// gets a reset too.
class SpliceRelay final : public Handler {
 public:
  /// Both are non-blocking; the connect of `server` has been started.
  SpliceRelay(Loop& loop, platform::PipePool& pipes, Fd client, Fd server, Answers answers);
  /// Call once, when the loop has it.
  void start();
  void ready(std::uint32_t events) override;

 private:
  /// One direction.
  struct Half {
    int from = -1;
    int to = -1;
    platform::Pipe pipe{};  ///< Held only while something moves: an idle flow costs two sockets.
    bool has_pipe = false;
    bool ended = false;   ///< The source has ended.
    bool closed = false;  ///< The destination was told.
  };
  enum class Progress : std::uint8_t { waits, more, failed };

  bool connect_done();
  Progress pump(Half& half);
  void finish(bool reset);

  Loop& loop_;
  platform::PipePool& pipes_;
  Fd client_;
  Fd server_;
  Answers answers_;
  std::array<Half, 2> halves_;
  bool connected_ = false;
  bool finished_ = false;
  bool queued_ = false;  ///< Another turn was asked for.
};

}  // namespace hairpin::bench
