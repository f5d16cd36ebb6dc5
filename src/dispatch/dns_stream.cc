#include "dispatch/dns_stream.h"

#include "dns/message_stream.h"

namespace hairpin::dispatch {

namespace {

/// RFC 7766, section 6.2.3: "of the order of a few seconds".
constexpr auto kIdle = std::chrono::seconds(10);
/// Questions of one connection that are on their way; further ones are not read.
constexpr std::size_t kMaxQuestionsOfStream = 64;

struct Served {
  std::shared_ptr<dns::MessageStream> stream;
  std::size_t questions = 0;
};

/// As long as it lives.
struct Counted {
  explicit Counted(std::size_t& of) : count(of) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::size_t& count;
};

Task<> answer_later(std::shared_ptr<Served> served, std::shared_ptr<dns::Service> names, Flow flow,
                    dns::Query query, dns::Service::Progress progress) {
  const Counted counted(served->questions);
  const dns::Asker asker{&flow, dns::kMaxMessage};
  const dns::Bytes answer = co_await names->answer(query, asker, progress);
  if (!answer.empty()) served->stream->send(answer);
}

}  // namespace

Task<> serve_dns_stream(Worker& worker, Stream client, Flow flow,
                        std::shared_ptr<dns::Service> names) {
  const auto served = std::make_shared<Served>(Served{std::make_shared<dns::MessageStream>(
      worker, outbound::Connection{std::move(client.socket), {}, {}, std::move(client.resets)})});
  for (;;) {
    const auto message = co_await served->stream->receive(kIdle);
    if (!message && message.error().code == ETIMEDOUT && served->questions != 0) continue;
    if (!message) break;
    auto received = dns::parse_query(*message);
    if (!received.query) {
      worker.counters.add(Count::dns_malformed);
      if (received.error.empty()) break;  // no client of this protocol
      served->stream->send(received.error);
      continue;
    }
    worker.counters.add(Count::dns_in);
    dns::Service::Progress progress;
    const auto answer = names->answer_at_once(*received.query, {&flow, dns::kMaxMessage}, progress);
    if (answer) {
      if (!answer->empty()) served->stream->send(*answer);
    } else if (served->questions >= kMaxQuestionsOfStream) {
      worker.counters.add(Count::dns_overload);
    } else {
      asio::co_spawn(worker.executor(),
                     answer_later(served, names, flow, std::move(*received.query), progress),
                     asio::detached);
    }
  }
  // A client that has said all may still wait for answers.
  while (served->questions != 0 && served->stream->is_open()) {
    Timer pause(worker.executor());
    pause.expires_after(std::chrono::milliseconds(20));
    (void)co_await pause.async_wait(kAsTuple);
  }
  co_await served->stream->finish();
}

}  // namespace hairpin::dispatch
