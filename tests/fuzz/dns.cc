// Messages of strangers: whatever is made of them must be a message again, and say no more.
#include <cstddef>
#include <cstdint>

#include "fuzz/check.h"
#include "wire/dns.h"

using namespace hairpin::dns;

namespace {

void ask(View message) {
  const Received received = parse_query(message);
  if (!received.query) {
    if (!received.error.empty()) FUZZ_CHECK(received.error.size() >= kHeader);
    return;
  }
  const Query& query = *received.query;
  const Received again = parse_query(write_query(query, query.id, query.extended));
  FUZZ_CHECK(again.query.has_value());
  FUZZ_CHECK(again.query->question.key() == query.question.key());
  (void)query.question.name();
  const Bytes refused = render(make_answer(query.question, kRefused), query, 0, query.udp_size);
  FUZZ_CHECK(refused.size() <= query.udp_size);
  FUZZ_CHECK(answers(refused, query.question));
}

void answer(View message, const Question& question) {
  if (!answers(message, question)) return;
  const auto parsed = parse_answer(message, question);
  if (!parsed) return;
  Query query;
  query.question = question;
  query.extended = true;
  for (const std::size_t limit : {std::size_t{512}, kMaxMessage}) {
    const Bytes rendered = render(*parsed, query, 7, limit);
    FUZZ_CHECK(rendered.size() <= limit || parsed->wire.size() + 11 > kMaxMessage);
    FUZZ_CHECK(answers(rendered, question));
    FUZZ_CHECK(is_truncated(rendered) || parse_answer(rendered, question).has_value());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const View message(data, size);
  ask(message);
  // The question that the message itself has, and one that the corpus has.
  answer(message, *Question::of("www.example", kA));
  answer(message, *Question::of("www.example", kAaaa));
  if (size > 0) (void)record_problem(std::string(message.begin(), message.end()));
  return 0;
}
