// Moves the bytes of one TCP flow between the client's socket and the outbound's, until both ends
// are done.
//
// How it works
//
// Each direction is a half of its own with these states:
//
//   state     waits for                 left when
//   --------  ------------------------  ---------------------------------------------------------
//   reading   `from` readable           bytes came (try to write them), or the stream ended
//   writing   `to` writable             all that is held is written
//   ended     `from` in error           never: the half has passed the end on with shutdown(2)
//
// While a half writes, `from` in error is looked for beside: nobody else would notice its reset.
//
// While a flow is small its bytes go through the worker's scratch buffer. Past kSpliceAfter bytes a
// half borrows a pipe and goes on with splice(2), which moves pages and copies nothing. What cannot
// be written at once stays in the pipe, or in a small buffer made for it; both are given back as
// soon as they are empty, so an idle flow holds two descriptors and this object.
//
// The relay ends when both halves have ended (an orderly close), when either socket fails (then the
// other one is reset, so that a RST arrives as a RST), or when nothing has moved for the idle time.
// It owns itself: handlers that wait hold a reference each.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/asio.h"
#include "flow/flow.h"
#include "flow/worker.h"
#include "outbound/dialer.h"

namespace hairpin::relay {

enum class Ending : std::uint8_t { closed, reset, idle };

/// What is told about a relay that has ended.
struct Summary {
  Ending ending = Ending::closed;
  std::uint64_t sent = 0;      ///< Bytes from the client.
  std::uint64_t received = 0;  ///< Bytes to the client.
};

class TcpRelay final : public boost::intrusive_ref_counter<TcpRelay, boost::thread_unsafe_counter>,
                       private Watched {
 public:
  using Done = std::function<void(const Summary&)>;

  /// Takes both sockets over. `done` is called once, at the end.
  static void start(Worker& worker, Stream client, outbound::Connection server,
                    Clock::duration idle, Done done);

 private:
  struct Half {
    Half(Descriptor& source, Descriptor& sink) : from(source), to(sink) {}
    Descriptor& from;
    Descriptor& to;
    std::uint64_t moved = 0;      ///< Bytes.
    std::vector<std::byte> rest;  ///< Read, not yet written, while copying.
    std::optional<platform::Pipe> pipe;
    bool source_ended = false;
    bool ended = false;    ///< The end has been passed on.
    bool watched = false;  ///< `from` is waited for in error.
  };
  enum class Step : std::uint8_t { again, wait_read, wait_write, ended, failed };

  TcpRelay(Worker& worker, Stream client, outbound::Connection server, Clock::duration idle,
           Done done);

  void run(Half& half);
  Step step(Half& half);
  Step flush(Half& half);
  void count(Half& half, std::size_t bytes);
  Step fill_by_copy(Half& half);
  Step fill_by_splice(Half& half);
  Step end_half(Half& half);
  void wait(Half& half, Wait::wait_type what);
  void watch_for_reset(Half& half);
  /// The stream has not ended, but is no socket that could say so.
  bool broken_off(const Half& half) const;
  void give_back_pipe(Half& half);
  void finish(Ending ending);

  Clock::time_point deadline() const override { return last_activity_ + idle_; }
  void expire() override { finish(Ending::idle); }

  Worker& worker_;
  Stream client_;
  outbound::Connection server_;
  Half up_{client_.socket, server_.socket};
  Half down_{server_.socket, client_.socket};
  Clock::duration idle_;
  Clock::time_point last_activity_ = Clock::now();
  Done done_;
  bool finished_ = false;
};

}  // namespace hairpin::relay
