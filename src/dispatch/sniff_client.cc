#include "dispatch/sniff_client.h"

#include "base/log.h"
#include "platform/stream.h"
#include "sniff/sniff.h"

namespace hairpin::dispatch {

namespace {

/// FTP, SMTP, POP3, IMAP: the client is silent until it has been greeted.
bool server_speaks_first(std::uint16_t port) {
  return port == 21 || port == 25 || port == 587 || port == 110 || port == 143;
}

Task<> wait_a_moment(Worker& worker) {
  constexpr auto kMoment = std::chrono::milliseconds(3);
  Timer timer(worker.executor(), kMoment);
  (void)co_await timer.async_wait(kAsTuple);
}

}  // namespace

bool listens_to_client(const config::RouteRule& rule, const Flow& flow) {
  return rule.sniffers.any_of_streams() && !server_speaks_first(flow.destination.port);
}

Task<> sniff_client(Worker& worker, Stream& client, const config::RouteRule& rule, Flow& flow) {
  const int socket = client.socket.native_handle();
  if (!listens_to_client(rule, flow)) co_return;
  const Deadline deadline(worker.watchdog, client.socket, rule.sniff_timeout);
  // There is no waiting for more than has been seen: it is looked again and again. A socket pair is
  // readable as long as anything is in it.
  bool patient = false;
  for (std::size_t seen = 0; !deadline.expired();) {
    auto [failed] = co_await client.socket.async_wait(Wait::wait_read, kAsTuple);
    if (failed) break;
    const auto bytes = platform::peek(socket, worker.scratch);
    if (!bytes && bytes.error().code == EAGAIN) continue;
    if (patient && bytes && bytes->size() == seen && !platform::has_said_all(socket)) {
      co_await wait_a_moment(worker);
      continue;
    }
    // The end, or an error: nothing more comes.
    if (!bytes || bytes->size() <= seen) break;
    seen = bytes->size();
    const sniff::Finding finding = sniff::sniff_stream(*bytes, rule.sniffers);
    if (finding.verdict == sniff::Verdict::yes) {
      flow.protocol = sniff::name(finding.protocol);
      if (!flow.asked_for && !finding.domain.empty()) flow.domain = finding.domain;
      log::debug("{} speaks {}{}{}", flow.text(), flow.protocol, flow.domain.empty() ? "" : " to ",
                 flow.domain);
    }
    if (finding.verdict != sniff::Verdict::more || seen == worker.scratch.size()) break;
    patient = !platform::set_low_water(socket, seen + 1) || client.resets != nullptr;
  }
  platform::set_low_water(socket, 1);
}

}  // namespace hairpin::dispatch
