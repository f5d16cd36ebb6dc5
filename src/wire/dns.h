// DNS messages as they travel (RFC 1035), with the extension of RFC 6891. Read and built by ldns;
// what is done for each answer from the cache is a copy with some numbers changed.
//
// What is believed of an answer
//
// Whoever answers may lie, or be somebody else. So an answer is made anew, of the records that the
// question leads to: those of its name, and of the names that aliases lead to from there. Of the
// rest only what tells that there is nothing (SOA, NSEC) is kept. Nothing can be learned about a
// name that was not asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace hairpin::dns {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

inline constexpr std::size_t kHeader = 12;
/// What travels unfragmented nearly everywhere (DNS flag day 2020): asked for, and offered.
inline constexpr std::uint16_t kUdpSize = 1232;
/// Without the extension (RFC 1035, section 4.2.1).
inline constexpr std::uint16_t kPlainUdpSize = 512;
inline constexpr std::size_t kMaxMessage = 65535;

enum Type : std::uint16_t { kA = 1, kCname = 5, kSoa = 6, kAaaa = 28 };
enum Rcode : std::uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
};

struct Question {
  std::string wire;  ///< The name as it was asked: labels with their lengths.
  std::uint16_t type = 0;
  std::uint16_t klass = 1;

  /// In lower case, without a dot at its end; the root is "". Odd bytes are escaped as in zone
  /// files.
  std::string name() const;
  /// `wire` in lower case: equal names have equal keys (RFC 4343).
  std::string key() const;

  /// Empty when `name` can be no name.
  static std::optional<Question> of(std::string_view name, std::uint16_t type);
};

/// What a client asks.
struct Query {
  std::uint16_t id = 0;
  Question question;
  bool recursion_desired = false;
  bool checking_disabled = false;  ///< RFC 4035, section 3.2.2.
  bool authentic_wanted = false;   ///< RFC 6840, section 5.7.
  bool dnssec_ok = false;          ///< RFC 3225.
  bool extended = false;           ///< It has an OPT record.
  std::uint16_t udp_size = kPlainUdpSize;
  /// For whom an answer is asked for, where a server tells the near ones (RFC 7871). Of our own
  /// saying: what a client says is not read.
  std::optional<Prefix> client_subnet;
};

/// A question, or what to say to a message that is none; an empty answer is silence.
struct Received {
  std::optional<Query> query;
  Bytes error;
};
Received parse_query(View message);

/// An answer as it is kept: without an id of its own, and without OPT.
struct Answer {
  Bytes wire;
  std::vector<std::uint16_t> ttl_at;  ///< Where lifetimes stand in `wire`.
  std::uint32_t ttl = 0;              ///< Seconds that it may be kept; 0: not at all.
  std::uint8_t rcode = kNoError;
  bool authentic = false;
  bool failed = false;            ///< Nobody has answered: this is what is said instead.
  std::vector<IpAddr> addresses;  ///< Of the name that was asked for, in the answer's order.
};

/// Asks with `id`, in RFC 6891's way where `extended`.
Bytes write_query(const Query& query, std::uint16_t id, bool extended);

std::uint16_t id_of(View message);  ///< Requires: kHeader bytes.
void set_id(Bytes& message, std::uint16_t id);
bool is_truncated(View message);      ///< Requires: kHeader bytes.
std::uint8_t rcode_of(View message);  ///< Requires: kHeader bytes.
/// Whether it says that it is the answer to `question`. An error may leave the question out.
bool answers(View message, const Question& question);

/// Requires: `answers`. Fails when it is damaged.
Result<Answer> parse_answer(View message, const Question& question);

/// Nothing but a code.
Answer make_answer(const Question& question, Rcode rcode);
/// Addresses of the type that was asked for; the others are left out.
Answer make_answer(const Question& question, const std::vector<IpAddr>& addresses,
                   std::uint32_t ttl);
/// Of records as zone files have them. Requires: `record_problem` finds nothing wrong.
Answer make_answer(const Question& question, Rcode rcode, const std::vector<std::string>& answer,
                   const std::vector<std::string>& authority,
                   const std::vector<std::string>& additional);
/// What is wrong with a record; empty: nothing.
std::string record_problem(const std::string& text);

/// All lifetimes become `ttl`.
void set_ttl(Answer& answer, std::uint32_t ttl);

/// For whoever asked `query`, when the answer is `age` seconds old. One of more than `limit` bytes
/// becomes one that says so.
Bytes render(const Answer& answer, const Query& query, std::uint32_t age, std::size_t limit);

}  // namespace hairpin::dns
