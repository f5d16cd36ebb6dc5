#include "wire/dns.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/interval.h"

namespace hairpin::dns {

namespace {

// Bits of the header's second word.
constexpr std::uint16_t kResponse = 0x8000;
constexpr std::uint16_t kTruncated = 0x0200;
constexpr std::uint16_t kRecursionDesired = 0x0100;
constexpr std::uint16_t kRecursionAvailable = 0x0080;
constexpr std::uint16_t kAuthentic = 0x0020;
constexpr std::uint16_t kCheckingDisabled = 0x0010;
constexpr std::uint16_t kOpcode = 0x7800;
constexpr std::uint16_t kRcodeMask = 0x000f;

constexpr std::uint16_t kInternet = 1;
constexpr std::uint16_t kAxfr = 252;
constexpr std::uint16_t kIxfr = 251;
constexpr std::uint16_t kOpt = 41;
constexpr std::uint32_t kDnssecOk = 0x8000;
constexpr std::uint32_t kBadVersion = 1U << 24;  ///< The upper bits of code 16 (RFC 6891, 6.1.3).
/// Nobody's data is worth keeping longer (RFC 8767, section 4, has a week for the longest).
constexpr std::uint32_t kLongestTtl = 86'400;
constexpr std::uint32_t kLongestNegative = 3 * 3600;  // RFC 2308, section 5
constexpr int kLongestChain = 16;

struct Free {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
  void operator()(ldns_rr* record) const { ldns_rr_free(record); }
  void operator()(ldns_rdf* field) const { ldns_rdf_deep_free(field); }
  void operator()(char* text) const { LDNS_FREE(text); }
  void operator()(std::uint8_t* bytes) const { LDNS_FREE(bytes); }
  void operator()(ldns_edns_option_list* list) const { ldns_edns_option_list_deep_free(list); }
  void operator()(ldns_buffer* buffer) const { ldns_buffer_free(buffer); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::uint16_t word(View bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
void put_word(Bytes& bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}
void append_word(Bytes& bytes, std::uint16_t value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}
void append_long(Bytes& bytes, std::uint32_t value) {
  append_word(bytes, static_cast<std::uint16_t>(value >> 16));
  append_word(bytes, static_cast<std::uint16_t>(value));
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string wire_of(const ldns_rdf& name) {
  return {reinterpret_cast<const char*>(ldns_rdf_data(&name)), ldns_rdf_size(&name)};
}
Owned<ldns_rdf> field_of(const std::string& wire) {
  return Owned<ldns_rdf>(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, wire.size(), wire.data()));
}

/// As in zone files, without the dot at its end.
std::string escaped_name(const std::string& wire) {
  const Owned<ldns_rdf> field = field_of(wire);
  const Owned<char> text(ldns_rdf2str(field.get()));
  std::string name(text ? text.get() : "");
  if (name.ends_with('.')) name.pop_back();
  return name;
}

void append_question(Bytes& out, const Question& question) {
  out.insert(out.end(), question.wire.begin(), question.wire.end());
  append_word(out, question.type);
  append_word(out, question.klass);
}

/// RFC 6891, section 6.1.2.
void append_opt(Bytes& out, std::uint32_t flags, View options = {}) {
  out.push_back(0);
  append_word(out, kOpt);
  append_word(out, kUdpSize);
  append_long(out, flags);
  append_word(out, static_cast<std::uint16_t>(options.size()));
  out.insert(out.end(), options.begin(), options.end());
}

/// RFC 7871, section 6: as many bytes of the address as its length needs, and zeros in the rest of
/// the last one.
Bytes subnet_option(const Prefix& prefix) {
  const IpAddr network = interval_of(prefix).first;
  const std::size_t size = (prefix.length + 7U) / 8U;
  Bytes data;
  append_word(data, prefix.address.is_v4() ? 1 : 2);
  data.push_back(static_cast<std::uint8_t>(prefix.length));
  data.push_back(0);  // the scope is the server's to say
  for (const std::uint8_t byte : network.bytes().first(size)) data.push_back(byte);
  const Owned<ldns_edns_option_list> list(ldns_edns_option_list_new());
  ldns_edns_option_list_push(
      list.get(), ldns_edns_new_from_data(LDNS_EDNS_CLIENT_SUBNET, data.size(), data.data()));
  const Owned<ldns_buffer> wire(ldns_edns_option_list2wireformat_buffer(list.get()));
  const std::uint8_t* begin = ldns_buffer_begin(wire.get());
  return {begin, begin + ldns_buffer_limit(wire.get())};
}

/// A header that answers `message`, with no section but what follows.
Bytes head_of_error(View message, std::uint8_t rcode) {
  Bytes out(kHeader);
  const std::uint16_t kept = word(message, 2) & (kOpcode | kRecursionDesired | kCheckingDisabled);
  put_word(out, 0, id_of(message));
  put_word(out, 2, static_cast<std::uint16_t>(kResponse | kept | kRecursionAvailable | rcode));
  return out;
}

Bytes error_to(const Query& query, View message, std::uint8_t rcode, std::uint32_t opt = 0) {
  Bytes out = head_of_error(message, rcode);
  put_word(out, 4, 1);
  append_question(out, query.question);
  if (query.extended) {
    put_word(out, 10, 1);
    append_opt(out, opt | (query.dnssec_ok ? kDnssecOk : 0));
  }
  return out;
}

/// One without data is what ldns makes of a record that has none.
bool is_alias(const ldns_rr& record) {
  return ldns_rr_get_type(&record) == LDNS_RR_TYPE_CNAME && ldns_rr_rd_count(&record) > 0;
}

/// The names that the question leads to, by the aliases in `records`.
std::vector<std::string> chain_of(const Question& question, const ldns_rr_list& records) {
  std::vector<std::string> chain{question.key()};
  if (question.type == kCname) return chain;
  for (int length = 0; length < kLongestChain; ++length) {
    const auto before = chain.size();
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(&records); ++i) {
      const ldns_rr& record = *ldns_rr_list_rr(&records, i);
      if (!is_alias(record) || !same_name(wire_of(*ldns_rr_owner(&record)), chain.back())) continue;
      std::string target = wire_of(*ldns_rr_rdf(&record, 0));
      std::ranges::transform(target, target.begin(), lower);
      if (std::ranges::find(chain, target) == chain.end()) chain.push_back(std::move(target));
      break;
    }
    if (chain.size() == before) break;
  }
  return chain;
}

bool lists(const std::vector<std::string>& chain, const ldns_rdf& name) {
  const std::string wire = wire_of(name);
  return std::ranges::any_of(chain, [&](const std::string& one) { return same_name(one, wire); });
}

/// Whether any name of the chain is `name` or below it.
bool leads_below(const std::vector<std::string>& chain, const ldns_rdf& name) {
  const std::string parent = wire_of(name);
  return std::ranges::any_of(chain, [&](const std::string& one) {
    for (std::size_t at = 0; at < one.size(); at += 1 + static_cast<std::uint8_t>(one[at])) {
      if (same_name(std::string_view(one).substr(at), parent)) return true;
    }
    return false;
  });
}

bool tells_of_nothing(ldns_rr_type type) {
  return type == LDNS_RR_TYPE_SOA || type == LDNS_RR_TYPE_NSEC || type == LDNS_RR_TYPE_NSEC3 ||
         type == LDNS_RR_TYPE_RRSIG;
}

/// What is wanted of an answer's records, in their order.
class Builder {
 public:
  Builder() : packet_(ldns_pkt_new()) {}

  void add(ldns_pkt_section section, const ldns_rr& record) {
    ldns_pkt_push_rr(packet_.get(), section, ldns_rr_clone(&record));
  }

  /// The whole message, with the lifetimes' places.
  Result<Answer> finish(const Question& question, std::uint8_t rcode) {
    Owned<ldns_rdf> name = field_of(question.wire);
    ldns_rr* asked = ldns_rr_new();
    ldns_rr_set_owner(asked, name.release());
    ldns_rr_set_type(asked, static_cast<ldns_rr_type>(question.type));
    ldns_rr_set_class(asked, static_cast<ldns_rr_class>(question.klass));
    ldns_rr_set_question(asked, true);
    ldns_pkt_push_rr(packet_.get(), LDNS_SECTION_QUESTION, asked);
    ldns_pkt_set_qr(packet_.get(), true);
    ldns_pkt_set_ra(packet_.get(), true);
    ldns_pkt_set_rcode(packet_.get(), rcode & kRcodeMask);
    std::uint8_t* raw = nullptr;
    std::size_t size = 0;
    const ldns_status status = ldns_pkt2wire(&raw, packet_.get(), &size);
    const Owned<std::uint8_t> owner(raw);
    if (status != LDNS_STATUS_OK) return Error{ldns_get_errorstr_by_id(status)};
    Answer answer;
    answer.rcode = rcode;
    answer.wire.assign(raw, raw + size);
    if (size > kMaxMessage || !find_ttls(answer, question)) return Error{"the answer is too long"};
    return answer;
  }

 private:
  static bool find_ttls(Answer& answer, const Question& question) {
    const Bytes& wire = answer.wire;
    std::size_t at = kHeader + question.wire.size() + 4;
    while (at < wire.size()) {
      ldns_rdf* name = nullptr;
      if (ldns_wire2dname(&name, wire.data(), wire.size(), &at) != LDNS_STATUS_OK) return false;
      const Owned<ldns_rdf> owner(name);
      if (at + 10 > wire.size()) return false;
      answer.ttl_at.push_back(static_cast<std::uint16_t>(at + 4));
      at += 10U + word(wire, at + 8);
    }
    return at == wire.size();
  }

  Owned<ldns_pkt> packet_;
};

/// RFC 2181, section 8: a lifetime with the highest bit set is none.
std::uint32_t ttl_of(const ldns_rr& record) {
  const std::uint32_t ttl = ldns_rr_ttl(&record);
  return ttl > 0x7fffffff ? 0 : std::min(ttl, kLongestTtl);
}

std::optional<IpAddr> address_in(const ldns_rr& record) {
  const ldns_rr_type type = ldns_rr_get_type(&record);
  if (type != LDNS_RR_TYPE_A && type != LDNS_RR_TYPE_AAAA) return std::nullopt;
  const std::size_t size = type == LDNS_RR_TYPE_A ? 4 : 16;
  const ldns_rdf* data = ldns_rr_rd_count(&record) > 0 ? ldns_rr_rdf(&record, 0) : nullptr;
  if (data == nullptr || ldns_rdf_size(data) != size) return std::nullopt;
  return IpAddr::from_wire(std::as_bytes(std::span(ldns_rdf_data(data), size)));
}

/// How long it may be remembered that there is nothing (RFC 2308, section 5).
std::uint32_t negative_ttl(const ldns_rr& soa) {
  constexpr std::size_t kMinimum = 6;
  if (ldns_rr_rd_count(&soa) <= kMinimum) return 0;
  const std::uint32_t minimum = ldns_rdf2native_int32(ldns_rr_rdf(&soa, kMinimum));
  return std::min({minimum, ttl_of(soa), kLongestNegative});
}

Answer plain(const Question& question, std::uint16_t answers, std::uint8_t rcode) {
  Answer answer;
  answer.rcode = rcode;
  answer.wire.resize(kHeader);
  put_word(answer.wire, 2,
           static_cast<std::uint16_t>(kResponse | kRecursionAvailable | (rcode & kRcodeMask)));
  put_word(answer.wire, 4, 1);
  put_word(answer.wire, 6, answers);
  append_question(answer.wire, question);
  return answer;
}

Owned<ldns_rr> record_of(const std::string& text, std::string& problem) {
  constexpr std::uint32_t kDefaultTtl = 600;
  ldns_rr* record = nullptr;
  const ldns_status status =
      ldns_rr_new_frm_str(&record, text.c_str(), kDefaultTtl, nullptr, nullptr);
  if (status != LDNS_STATUS_OK) problem = ldns_get_errorstr_by_id(status);
  return Owned<ldns_rr>(record);
}

}  // namespace

std::string Question::name() const {
  // Nearly all names have nothing that would have to be escaped.
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  std::string text;
  text.reserve(wire.size());
  for (std::size_t at = 0; at < wire.size() && wire[at] != 0;) {
    const std::size_t end = at + 1 + static_cast<std::uint8_t>(wire[at]);
    if (!text.empty()) text += '.';
    for (++at; at < end; ++at) {
      const char c = lower(wire[at]);
      if (!plain(c)) return escaped_name(key());
      text += c;
    }
  }
  return text;
}

std::string Question::key() const {
  std::string low = wire;
  std::ranges::transform(low, low.begin(), lower);
  return low;
}

std::optional<Question> Question::of(std::string_view name, std::uint16_t type) {
  const std::string text = std::string(name) + (name.ends_with('.') ? "" : ".");
  const Owned<ldns_rdf> field(ldns_dname_new_frm_str(text.c_str()));
  if (!field || ldns_rdf_size(field.get()) > LDNS_MAX_DOMAINLEN) return std::nullopt;
  return Question{wire_of(*field), type, kInternet};
}

Received parse_query(View message) {
  if (message.size() < kHeader) return {};
  const std::uint16_t flags = word(message, 2);
  if ((flags & kResponse) != 0) return {};  // answering answers would go on for ever
  if ((flags & kOpcode) != 0) return {{}, head_of_error(message, kNotImp)};
  if (word(message, 4) != 1) return {{}, head_of_error(message, kFormErr)};
  ldns_pkt* raw = nullptr;
  const ldns_status status = ldns_wire2pkt(&raw, message.data(), message.size());
  const Owned<ldns_pkt> packet(raw);
  if (status != LDNS_STATUS_OK) return {{}, head_of_error(message, kFormErr)};

  Query query;
  const ldns_rr& asked = *ldns_rr_list_rr(ldns_pkt_question(raw), 0);
  query.id = id_of(message);
  query.question = {wire_of(*ldns_rr_owner(&asked)),
                    static_cast<std::uint16_t>(ldns_rr_get_type(&asked)),
                    static_cast<std::uint16_t>(ldns_rr_get_class(&asked))};
  query.recursion_desired = (flags & kRecursionDesired) != 0;
  query.checking_disabled = (flags & kCheckingDisabled) != 0;
  query.authentic_wanted = (flags & kAuthentic) != 0;
  query.extended = ldns_pkt_edns(raw);
  if (query.extended) {
    query.dnssec_ok = ldns_pkt_edns_do(raw);
    query.udp_size = std::max(kPlainUdpSize, ldns_pkt_edns_udp_size(raw));
  }
  // ldns takes OPT out of the section: a second one is what is missing beside that (section 6.1.1).
  const std::size_t listed = ldns_rr_list_rr_count(ldns_pkt_additional(raw));
  if (query.extended && word(message, 10) > listed + 1) {
    return {{}, error_to(query, message, kFormErr)};
  }
  if (query.extended && ldns_pkt_edns_version(raw) != 0) {
    return {{}, error_to(query, message, kNoError, kBadVersion)};
  }
  if (query.question.klass != kInternet) return {{}, error_to(query, message, kRefused)};
  if (query.question.type == kAxfr || query.question.type == kIxfr) {
    return {{}, error_to(query, message, kNotImp)};
  }
  return {std::move(query), {}};
}

Bytes write_query(const Query& query, std::uint16_t id, bool extended) {
  Bytes out(kHeader);
  put_word(out, 0, id);
  put_word(out, 2,
           static_cast<std::uint16_t>(kRecursionDesired |
                                      (query.checking_disabled ? kCheckingDisabled : 0) |
                                      (query.authentic_wanted ? kAuthentic : 0)));
  put_word(out, 4, 1);
  append_question(out, query.question);
  if (extended) {
    put_word(out, 10, 1);
    append_opt(out, query.dnssec_ok ? kDnssecOk : 0,
               query.client_subnet ? subnet_option(*query.client_subnet) : Bytes());
  }
  return out;
}

std::uint16_t id_of(View message) {
  return word(message, 0);
}
void set_id(Bytes& message, std::uint16_t id) {
  put_word(message, 0, id);
}
bool is_truncated(View message) {
  return (word(message, 2) & kTruncated) != 0;
}
std::uint8_t rcode_of(View message) {
  return static_cast<std::uint8_t>(word(message, 2) & kRcodeMask);
}

bool answers(View message, const Question& question) {
  if (message.size() < kHeader) return false;
  const std::uint16_t flags = word(message, 2);
  if ((flags & kResponse) == 0 || (flags & kOpcode) != 0) return false;
  if (word(message, 4) == 0) return rcode_of(message) != kNoError;
  const std::size_t end = kHeader + question.wire.size();
  if (word(message, 4) != 1 || message.size() < end + 4) return false;
  const std::string_view name(reinterpret_cast<const char*>(message.data()) + kHeader,
                              question.wire.size());
  return same_name(name, question.wire) && word(message, end) == question.type &&
         word(message, end + 2) == question.klass;
}

Result<Answer> parse_answer(View message, const Question& question) {
  const std::uint8_t rcode = rcode_of(message);
  if (word(message, 4) == 0) return make_answer(question, static_cast<Rcode>(rcode));
  ldns_pkt* raw = nullptr;
  const ldns_status status = ldns_wire2pkt(&raw, message.data(), message.size());
  const Owned<ldns_pkt> packet(raw);
  if (status != LDNS_STATUS_OK) {
    return Error{std::string("the answer is damaged: ") + ldns_get_errorstr_by_id(status)};
  }
  Builder builder;
  const ldns_rr_list& records = *ldns_pkt_answer(raw);
  const auto chain = chain_of(question, records);
  std::uint32_t ttl = kLongestTtl;
  bool any = false;
  std::vector<IpAddr> addresses;
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(&records); ++i) {
    const ldns_rr& record = *ldns_rr_list_rr(&records, i);
    const bool above = ldns_rr_get_type(&record) == LDNS_RR_TYPE_DNAME &&
                       leads_below(chain, *ldns_rr_owner(&record));
    if (!above && !lists(chain, *ldns_rr_owner(&record))) continue;
    builder.add(LDNS_SECTION_ANSWER, record);
    ttl = std::min(ttl, ttl_of(record));
    const auto type = static_cast<std::uint16_t>(ldns_rr_get_type(&record));
    any |= type == question.type || question.type == LDNS_RR_TYPE_ANY;
    if (auto address = address_in(record)) addresses.push_back(*address);
  }
  bool told = false;
  const ldns_rr_list& authority = *ldns_pkt_authority(raw);
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(&authority); ++i) {
    const ldns_rr& record = *ldns_rr_list_rr(&authority, i);
    if (!tells_of_nothing(ldns_rr_get_type(&record))) continue;
    const bool soa = ldns_rr_get_type(&record) == LDNS_RR_TYPE_SOA;
    if (soa && !leads_below(chain, *ldns_rr_owner(&record))) continue;
    builder.add(LDNS_SECTION_AUTHORITY, record);
    if (!soa || any) continue;
    ttl = std::min(ttl, negative_ttl(record));
    told = true;
  }
  auto answer = builder.finish(question, rcode);
  if (!answer) return answer;
  const bool settled = (any || told) && (rcode == kNoError || rcode == kNxDomain);
  answer->ttl = settled ? ttl : 0;
  answer->authentic = (word(message, 2) & kAuthentic) != 0;
  answer->addresses = std::move(addresses);
  return answer;
}

Answer make_answer(const Question& question, Rcode rcode) {
  return plain(question, 0, rcode);
}

Answer make_answer(const Question& question, const std::vector<IpAddr>& addresses,
                   std::uint32_t ttl) {
  Answer answer = plain(question, 0, kNoError);
  constexpr std::uint16_t kToQuestion = 0xc000 | kHeader;
  for (const IpAddr& address : addresses) {
    if (question.type != (address.is_v4() ? kA : kAaaa)) continue;
    append_word(answer.wire, kToQuestion);
    append_word(answer.wire, question.type);
    append_word(answer.wire, question.klass);
    answer.ttl_at.push_back(static_cast<std::uint16_t>(answer.wire.size()));
    append_long(answer.wire, ttl);
    const auto bytes = address.bytes();
    append_word(answer.wire, static_cast<std::uint16_t>(bytes.size()));
    for (const auto byte : bytes) answer.wire.push_back(static_cast<std::uint8_t>(byte));
    answer.addresses.push_back(address);
  }
  put_word(answer.wire, 6, static_cast<std::uint16_t>(answer.addresses.size()));
  answer.ttl = answer.addresses.empty() ? 0 : ttl;
  return answer;
}

Answer make_answer(const Question& question, Rcode rcode, const std::vector<std::string>& answer,
                   const std::vector<std::string>& authority,
                   const std::vector<std::string>& additional) {
  Builder builder;
  std::vector<IpAddr> addresses;
  std::string ignored;
  const auto add = [&](ldns_pkt_section section, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      const auto record = record_of(text, ignored);
      if (!record) continue;
      builder.add(section, *record);
      if (auto address = address_in(*record)) addresses.push_back(*address);
    }
  };
  add(LDNS_SECTION_ANSWER, answer);
  add(LDNS_SECTION_AUTHORITY, authority);
  add(LDNS_SECTION_ADDITIONAL, additional);
  auto built = builder.finish(question, rcode);
  if (!built) return make_answer(question, kServFail);
  built->addresses = std::move(addresses);
  return std::move(*built);
}

std::string record_problem(const std::string& text) {
  std::string problem;
  (void)record_of(text, problem);
  return problem;
}

void set_ttl(Answer& answer, std::uint32_t ttl) {
  for (const std::uint16_t at : answer.ttl_at) {
    put_word(answer.wire, at, static_cast<std::uint16_t>(ttl >> 16));
    put_word(answer.wire, at + 2U, static_cast<std::uint16_t>(ttl));
  }
  if (answer.ttl != 0) answer.ttl = ttl;
}

Bytes render(const Answer& answer, const Query& query, std::uint32_t age, std::size_t limit) {
  constexpr std::size_t kOptSize = 11;
  Bytes out;
  out.reserve(answer.wire.size() + kOptSize);
  out = answer.wire;
  set_id(out, query.id);
  std::uint16_t flags = word(out, 2);
  if (query.recursion_desired) flags |= kRecursionDesired;
  if (query.checking_disabled) flags |= kCheckingDisabled;
  if (answer.authentic && (query.authentic_wanted || query.dnssec_ok)) flags |= kAuthentic;
  put_word(out, 2, flags);
  // The name as this client has written it: some compare (draft-vixie-dnsext-dns0x20).
  std::ranges::copy(query.question.wire, out.begin() + kHeader);
  for (const std::uint16_t at : answer.ttl_at) {
    const std::uint32_t ttl = std::uint32_t{word(out, at)} << 16 | word(out, at + 2U);
    const std::uint32_t left = ttl > age ? ttl - age : 0;
    put_word(out, at, static_cast<std::uint16_t>(left >> 16));
    put_word(out, at + 2U, static_cast<std::uint16_t>(left));
  }
  if (out.size() + (query.extended ? kOptSize : 0) > limit) {
    // All or nothing: who is told of some records may take them for all (RFC 2181, section 9).
    out.resize(kHeader + query.question.wire.size() + 4);
    put_word(out, 2, flags | kTruncated);
    for (const std::size_t section : {6U, 8U, 10U}) put_word(out, section, 0);
  }
  if (query.extended) {
    put_word(out, 10, static_cast<std::uint16_t>(word(out, 10) + 1));
    append_opt(out, query.dnssec_ok ? kDnssecOk : 0);
  }
  return out;
}

}  // namespace hairpin::dns
