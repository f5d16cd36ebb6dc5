#include "sniff/client_hello.h"

#include <vector>

#include "sniff/reader.h"

namespace hairpin::sniff {

namespace {

constexpr std::uint8_t kHandshake = 22;
constexpr std::uint8_t kClientHello = 1;
constexpr std::uint64_t kServerName = 0;
constexpr std::uint64_t kHostName = 0;
constexpr std::size_t kMaxFragment = 16384 + 256;

/// The first host name of the extension.
std::string server_name(std::span<const std::byte> extension) {
  Reader in(extension);
  Reader list(in.take(in.number(2)));
  while (list.left() > 0) {
    const std::uint64_t type = list.number(1);
    const auto text = list.take(list.number(2));
    if (list.is_short()) return "";
    if (type == kHostName) return host_name(text_of(text));
  }
  return "";
}

}  // namespace

Hello read_hello(std::span<const std::byte> handshake) {
  Reader whole(handshake);
  const bool is_hello = whole.byte() == kClientHello;
  const std::uint64_t length = whole.number(3);
  if (handshake.empty()) return {Verdict::more, ""};
  if (!is_hello || length > kMaxBytes) return {};
  if (whole.is_short()) return {Verdict::more, ""};
  const bool complete = whole.left() >= length;
  Reader in(complete ? whole.take(length) : whole.rest());
  const Hello open{complete ? Verdict::no : Verdict::more, ""};
  const std::uint64_t version = in.number(2);
  if (!in.is_short() && version >> 8 != 3) return {};
  in.take(32);         // random
  in.take(in.byte());  // session
  const std::uint64_t suites = in.number(2);
  if (!in.is_short() && (suites == 0 || suites % 2 != 0)) return {};
  in.take(suites);
  in.take(in.byte());  // compression
  if (in.is_short()) return open;
  if (complete && in.left() == 0) return {Verdict::yes, ""};  // before extensions were invented
  const std::uint64_t all = in.number(2);
  if (in.is_short()) return open;
  if (complete && all > in.left()) return {};
  Reader extensions(all <= in.left() ? in.take(all) : in.rest());
  while (extensions.left() > 0) {
    const std::uint64_t type = extensions.number(2);
    const auto body = extensions.take(extensions.number(2));
    if (extensions.is_short()) return open;
    if (type == kServerName) return {Verdict::yes, server_name(body)};
  }
  return {complete ? Verdict::yes : Verdict::more, ""};
}

Hello read_hello_records(std::span<const std::byte> stream) {
  // Mostly there is one record; only what is split is put together.
  std::vector<std::byte> joined;
  Reader in(stream);
  for (bool first = true;; first = false) {
    const std::uint8_t type = in.byte();
    const std::uint64_t version = in.number(2);
    const std::uint64_t length = in.number(2);
    if (stream.empty() || std::to_integer<unsigned>(stream[0]) != kHandshake) return {};
    if (in.is_short()) break;
    if (type != kHandshake || version >> 8 != 3 || length == 0 || length > kMaxFragment) return {};
    const bool complete = in.left() >= length;
    const auto fragment = complete ? in.take(length) : in.rest();
    if (first) {
      Hello hello = read_hello(fragment);
      if (hello.verdict != Verdict::more || !complete) return hello;
    }
    joined.insert(joined.end(), fragment.begin(), fragment.end());
    if (!complete) break;
  }
  return joined.empty() ? Hello{Verdict::more, ""} : read_hello(joined);
}

}  // namespace hairpin::sniff
