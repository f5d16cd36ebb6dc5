#include "wire/dns.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hairpin::dns {
namespace {

Bytes bytes(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) out.push_back(static_cast<std::uint8_t>(value));
  return out;
}

Bytes join(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// "www.example", by hand: the oracle for what ldns makes.
const Bytes kName = bytes({3, 'w', 'w', 'w', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0});

Bytes query_bytes(int flags, int questions, int additional, int type, const Bytes& rest = {}) {
  Bytes out = bytes({0x12, 0x34, flags >> 8, flags & 255, 0, questions, 0, 0, 0, 0, 0, additional});
  out = join(out, kName);
  return join(join(out, bytes({type >> 8, type & 255, 0, 1})), rest);
}

Query asked(std::string_view name = "www.example", std::uint16_t type = kA) {
  Query query;
  query.id = 0x1234;
  query.question = *Question::of(name, type);
  query.recursion_desired = true;
  return query;
}

/// An answer with `answers` records, each given as bytes.
Bytes answer_bytes(const Query& query, int answers, const Bytes& records, int flags = 0x8180,
                   int authority = 0) {
  Bytes out = write_query(query, query.id, false);
  out[2] = static_cast<std::uint8_t>(flags >> 8);
  out[3] = static_cast<std::uint8_t>(flags);
  out[7] = static_cast<std::uint8_t>(answers);
  out[9] = static_cast<std::uint8_t>(authority);
  return join(out, records);
}

Bytes a_record(const Bytes& owner, int ttl, int last) {
  return join(owner, bytes({0, 1, 0, 1, 0, 0, ttl >> 8, ttl & 255, 0, 4, 192, 0, 2, last}));
}
const Bytes kToQuestion = bytes({0xc0, 12});

TEST(Query, AsClientsSendIt) {
  const Received plain = parse_query(query_bytes(0x0110, 1, 0, 28));
  ASSERT_TRUE(plain.query);
  EXPECT_EQ(plain.query->id, 0x1234);
  EXPECT_EQ(plain.query->question.name(), "www.example");
  EXPECT_EQ(plain.query->question.type, kAaaa);
  EXPECT_TRUE(plain.query->recursion_desired);
  EXPECT_TRUE(plain.query->checking_disabled);
  EXPECT_FALSE(plain.query->extended);
  EXPECT_EQ(plain.query->udp_size, 512);

  const Bytes opt = bytes({0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0});
  const Received extended = parse_query(query_bytes(0x0100, 1, 1, 1, opt));
  ASSERT_TRUE(extended.query);
  EXPECT_TRUE(extended.query->extended);
  EXPECT_TRUE(extended.query->dnssec_ok);
  EXPECT_EQ(extended.query->udp_size, 4096);
}

TEST(Query, WhatIsNone) {
  const Bytes opt = bytes({0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0});
  const Bytes opt_of_version_1 = bytes({0, 0, 41, 0x10, 0, 0, 1, 0, 0, 0, 0});
  struct Case {
    const char* what;
    Bytes message;
    int rcode;  ///< -1: silence.
  };
  const Case cases[] = {
      {"nothing", {}, -1},
      {"short", bytes({1, 2, 3}), -1},
      {"an answer", query_bytes(0x8180, 1, 0, 1), -1},
      {"an update", query_bytes(0x2800, 1, 0, 1), kNotImp},
      {"no question", query_bytes(0x0100, 0, 0, 1), kFormErr},
      {"two questions", query_bytes(0x0100, 2, 0, 1), kFormErr},
      {"cut short", bytes({0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'w'}), kFormErr},
      {"a pointer to itself", bytes({0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1}),
       kFormErr},
      {"two OPT", query_bytes(0x0100, 1, 2, 1, join(opt, opt)), kFormErr},
      {"version 1", query_bytes(0x0100, 1, 1, 1, opt_of_version_1), kNoError},
      {"a transfer", query_bytes(0x0100, 1, 0, 252), kNotImp},
  };
  for (const Case& one : cases) {
    const Received received = parse_query(one.message);
    EXPECT_FALSE(received.query) << one.what;
    ASSERT_EQ(received.error.empty(), one.rcode < 0) << one.what;
    if (one.rcode < 0) continue;
    EXPECT_EQ(rcode_of(received.error), one.rcode) << one.what;
    EXPECT_EQ(received.error[0], one.message[0]) << one.what;
    EXPECT_NE(received.error[2] & 0x80, 0) << one.what;
  }
  // BADVERS: the upper bits are in OPT (RFC 6891, section 6.1.3).
  const Bytes error = parse_query(cases[9].message).error;
  EXPECT_EQ(error[error.size() - 11 + 5], 1);
}

TEST(Query, IsWrittenAsItWasAsked) {
  Query query = asked("WwW.Example");
  const Bytes wire = write_query(query, 7, true);
  const Received again = parse_query(wire);
  ASSERT_TRUE(again.query);
  EXPECT_EQ(again.query->id, 7);
  EXPECT_EQ(again.query->question.wire, query.question.wire);
  EXPECT_EQ(again.query->question.name(), "www.example");
  EXPECT_EQ(again.query->udp_size, kUdpSize);
}

TEST(Query, ForANetwork) {
  struct Case {
    const char* network;
    Bytes option;  ///< By hand, of RFC 7871, section 6.
  };
  for (const Case& one : std::initializer_list<Case>{
           {"192.0.2.0/24", bytes({0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2})},
           {"192.0.2.129/25", bytes({0, 8, 0, 8, 0, 1, 25, 0, 192, 0, 2, 128})},
           {"192.0.2.77/20", bytes({0, 8, 0, 7, 0, 1, 20, 0, 192, 0, 0})},
           {"192.0.2.77", bytes({0, 8, 0, 8, 0, 1, 32, 0, 192, 0, 2, 77})},
           {"0.0.0.0/0", bytes({0, 8, 0, 4, 0, 1, 0, 0})},
           {"2001:db8:12ff::/44",
            bytes({0, 8, 0, 10, 0, 2, 44, 0, 0x20, 1, 0x0d, 0xb8, 0x12, 0xf0})}}) {
    Query query = asked();
    query.client_subnet = Prefix::parse(one.network);
    const Bytes plain = write_query(asked(), 7, true);
    const Bytes wire = write_query(query, 7, true);
    Bytes expected = plain;
    expected.back() = static_cast<std::uint8_t>(one.option.size());
    EXPECT_EQ(wire, join(expected, one.option)) << one.network;
    EXPECT_TRUE(parse_query(wire).query) << one.network;
    EXPECT_EQ(write_query(query, 7, false), write_query(asked(), 7, false));
  }
}

TEST(Question, Names) {
  EXPECT_EQ(Question::of("a.example", kA)->wire, std::string("\1a\7example\0", 11));
  EXPECT_EQ(Question::of("a.example.", kA)->name(), "a.example");
  EXPECT_EQ(Question::of("A.eXample", kA)->key(), Question::of("a.example", kA)->key());
  EXPECT_EQ(Question::of(".", kA)->name(), "");
  EXPECT_FALSE(Question::of(std::string(64, 'x') + ".example", kA));
  EXPECT_FALSE(Question::of("a..example", kA));
  std::string long_name;
  for (int i = 0; i < 130; ++i) long_name += "a.";
  EXPECT_FALSE(Question::of(long_name, kA));
}

TEST(Answer, IsForTheQuestion) {
  const Query query = asked();
  const Bytes good = answer_bytes(query, 1, a_record(kToQuestion, 300, 7));
  EXPECT_TRUE(answers(good, query.question));
  EXPECT_FALSE(answers(good, asked("other.example").question));
  EXPECT_FALSE(answers(good, asked("www.example", kAaaa).question));
  EXPECT_FALSE(answers(write_query(query, 1, false), query.question)) << "a question";
  EXPECT_FALSE(answers(bytes({1, 2}), query.question));
  EXPECT_TRUE(answers(bytes({0, 1, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}), query.question))
      << "FORMERR without the question";
  EXPECT_FALSE(answers(bytes({0, 1, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}), query.question));
}

TEST(Answer, AddressesAndLifetimes) {
  const Query query = asked();
  const auto answer = parse_answer(
      answer_bytes(query, 2, join(a_record(kToQuestion, 300, 7), a_record(kToQuestion, 60, 8))),
      query.question);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->ttl, 60);
  ASSERT_EQ(answer->addresses.size(), 2);
  EXPECT_EQ(answer->addresses[1].text(), "192.0.2.8");
  EXPECT_EQ(answer->ttl_at.size(), 2);

  Query other = asked("WWW.example");
  other.id = 99;
  const Bytes rendered = render(*answer, other, 45, 512);
  EXPECT_EQ(id_of(rendered), 99);
  EXPECT_EQ(std::string(rendered.begin() + 12, rendered.begin() + 25), other.question.wire);
  const auto again = parse_answer(rendered, other.question);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->ttl, 15);
  EXPECT_EQ(again->addresses, answer->addresses);
  const auto old = parse_answer(render(*answer, other, 1000, 512), other.question);
  EXPECT_EQ(old->ttl, 0) << "not negative";
}

TEST(Answer, NothingOfOtherNames) {
  const Query query = asked();
  const Bytes other = bytes({6, 'v', 'i', 'c', 't', 'i', 'm', 0});
  const auto answer = parse_answer(
      answer_bytes(query, 2, join(a_record(kToQuestion, 300, 7), a_record(other, 300, 66))),
      query.question);
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->addresses.size(), 1);
  EXPECT_EQ(answer->addresses[0].text(), "192.0.2.7");
  EXPECT_EQ(answer->wire[7], 1) << "the record itself has gone, too";
  EXPECT_TRUE(std::ranges::search(answer->wire, other).empty());
}

TEST(Answer, Aliases) {
  // www.example -> b. -> c. -> 192.0.2.7; and what the chain does not lead to.
  const Query query = asked();
  const Bytes b = bytes({1, 'b', 0});
  const Bytes c = bytes({1, 'c', 0});
  const Bytes head = bytes({0, 5, 0, 1, 0, 0, 0, 9, 0, 3});
  const Bytes records =
      join(join(join(join(kToQuestion, head), b), join(join(b, head), c)), a_record(c, 60, 7));
  const auto answer = parse_answer(answer_bytes(query, 3, records), query.question);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->wire[7], 3);
  EXPECT_EQ(answer->ttl, 9);
  ASSERT_EQ(answer->addresses.size(), 1);
  // A circle ends.
  const Bytes circle = join(join(join(kToQuestion, head), b), join(join(b, head), b));
  EXPECT_TRUE(parse_answer(answer_bytes(query, 2, circle), query.question));
}

TEST(Answer, ThatThereIsNothing) {
  const Query query = asked("www.example", kAaaa);
  // example. SOA, lifetime 600, minimum 30.
  const Bytes soa = join(bytes({0xc0, 16, 0, 6, 0, 1, 0, 0, 2, 88, 0, 22, 0, 0}),
                         bytes({0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 30}));
  const auto nothing = parse_answer(answer_bytes(query, 0, soa, 0x8183, 1), query.question);
  ASSERT_TRUE(nothing);
  EXPECT_EQ(nothing->rcode, kNxDomain);
  EXPECT_EQ(nothing->ttl, 30);
  EXPECT_EQ(parse_answer(answer_bytes(query, 0, {}, 0x8183), query.question)->ttl, 0)
      << "nobody says for how long";
  EXPECT_EQ(parse_answer(answer_bytes(query, 0, soa, 0x8182, 1), query.question)->ttl, 0)
      << "SERVFAIL";
}

TEST(Answer, WhatDoesNotFit) {
  std::vector<std::string> records(40, "www.example. 60 IN TXT \"" + std::string(100, 'x') + "\"");
  for (std::size_t i = 0; i < records.size(); ++i)
    records[i].insert(records[i].size() - 1, std::to_string(i));
  Query query = asked("www.example", 16);
  const Answer answer = make_answer(query.question, kNoError, records, {}, {});
  EXPECT_GT(answer.wire.size(), 4000);
  query.extended = true;
  const Bytes small = render(answer, query, 0, 1232);
  EXPECT_TRUE(is_truncated(small));
  EXPECT_EQ(small[7], 0);
  EXPECT_EQ(small[11], 1) << "OPT";
  EXPECT_TRUE(answers(small, query.question));
  EXPECT_FALSE(is_truncated(render(answer, query, 0, kMaxMessage)));
}

TEST(Answer, OfOurOwn) {
  const Query query = asked();
  const Answer answer =
      make_answer(query.question, {*IpAddr::parse("192.0.2.1"), *IpAddr::parse("2001:db8::1")}, 60);
  const auto again = parse_answer(render(answer, query, 0, 512), query.question);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->addresses.size(), 1) << "of the type that was asked for";
  EXPECT_EQ(again->ttl, 60);
  Answer changed = answer;
  set_ttl(changed, 5);
  EXPECT_EQ(parse_answer(render(changed, query, 0, 512), query.question)->ttl, 5);
  EXPECT_EQ(record_problem("www.example. 60 IN A 192.0.2.1"), "");
  EXPECT_NE(record_problem("www.example. 60 IN A 192.0.2.300"), "");
  EXPECT_NE(record_problem("nonsense"), "");
}

}  // namespace
}  // namespace hairpin::dns
