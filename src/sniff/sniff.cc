#include "sniff/sniff.h"

#include <algorithm>

#include "base/address.h"
#include "sniff/client_hello.h"
#include "sniff/reader.h"

namespace hairpin::sniff {

namespace {

const Finding kNo{};
const Finding kMore{Verdict::more, Protocol::count_, ""};

Finding yes(Protocol protocol, std::string domain = "") {
  return {Verdict::yes, protocol, std::move(domain)};
}

/// Whether `text` begins with `start`; `more` where it ends before that can be told.
Verdict begins(std::string_view text, std::string_view start) {
  const std::size_t size = std::min(text.size(), start.size());
  if (text.substr(0, size) != start.substr(0, size)) return Verdict::no;
  return size == start.size() ? Verdict::yes : Verdict::more;
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto lower = [](char c) { return is_upper(c) ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

std::string_view trimmed(std::string_view text) {
  const auto begin = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(" \t\r") + 1);
}

/// "example.com:80" without the port.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host;
  return host.substr(0, host.find(':'));
}

// ---- streams ------------------------------------------------------------------------------------

Finding sniff_tls(std::span<const std::byte> bytes) {
  Hello hello = read_hello_records(bytes);
  if (hello.verdict != Verdict::yes) return {hello.verdict, Protocol::count_, ""};
  return yes(Protocol::tls, std::move(hello.domain));
}

/// A request (RFC 9112) up to its Host field; of HTTP/2 only its preface is to be seen.
Finding sniff_http(std::string_view text) {
  constexpr std::size_t kLongestMethod = 20;  // "VERSION-CONTROL" has 15
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n";
  const auto method = static_cast<std::size_t>(
      std::ranges::find_if_not(text, [](char c) { return is_upper(c) || c == '-'; }) -
      text.begin());
  if (method > kLongestMethod) return kNo;
  if (method == text.size()) return kMore;
  if (method < 3 || text[method] != ' ') return kNo;
  if (begins(text, kPreface) == Verdict::yes) return yes(Protocol::http);
  const std::size_t line_end = text.find('\n');
  const bool printable = std::ranges::all_of(text.substr(0, line_end), [](char c) {
    return static_cast<unsigned char>(c) >= ' ' || c == '\r' || c == '\t';
  });
  if (!printable) return kNo;
  if (line_end == std::string_view::npos) return kMore;
  const std::string_view line = trimmed(text.substr(0, line_end));
  const std::size_t version = line.rfind(' ');
  if (version <= method || !line.substr(version + 1).starts_with("HTTP/1.")) return kNo;
  for (std::size_t at = line_end + 1;;) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) return kMore;
    const std::string_view field = text.substr(at, end - at);
    if (trimmed(field).empty()) return yes(Protocol::http);  // the end of the head
    const std::size_t colon = field.find(':');
    if (colon != std::string_view::npos && equal_ignoring_case(field.substr(0, colon), "host")) {
      return yes(Protocol::http, host_name(without_port(trimmed(field.substr(colon + 1)))));
    }
    at = end + 1;
  }
}

Finding as_prefix(Protocol protocol, Verdict verdict) {
  return verdict == Verdict::yes ? yes(protocol) : Finding{verdict, Protocol::count_, ""};
}

/// A question (RFC 1035, 4.1). An answer is none.
Finding read_dns(std::span<const std::byte> message) {
  Reader in(message);
  in.number(2);
  const std::uint64_t flags = in.number(2);
  const std::uint64_t questions = in.number(2);
  const std::uint64_t answers = in.number(2);
  in.take(4);
  // A question of one of the usual kinds, and nothing that a client would not set.
  if (in.is_short() || (flags & 0xfe40) != 0 || questions != 1 || answers != 0) return kNo;
  std::string name;
  for (;;) {
    const std::uint8_t size = in.byte();
    if (in.is_short() || size > 63) return kNo;
    if (size == 0) break;
    const auto label = in.take(size);
    if (in.is_short() || name.size() + size > 255) return kNo;
    name += (name.empty() ? "" : ".") + std::string(text_of(label));
  }
  in.take(4);
  if (in.is_short()) return kNo;
  return yes(Protocol::dns, host_name(name));
}

Finding sniff_dns_stream(std::span<const std::byte> bytes) {
  Reader in(bytes);
  const std::uint64_t size = in.number(2);
  if (in.is_short()) return kMore;
  if (size < 17 || size > 4096) return kNo;
  // The header tells enough to give up early.
  if (in.left() >= 6) {
    Reader header(in.rest());
    header.number(2);
    if ((header.number(2) & 0xfe40) != 0 || header.number(2) != 1) return kNo;
  }
  return in.left() < size ? kMore : read_dns(in.take(size));
}

// ---- datagrams ----------------------------------------------------------------------------------

/// RFC 8489, 5.
Finding sniff_stun(std::span<const std::byte> bytes) {
  Reader in(bytes);
  const std::uint64_t type = in.number(2);
  const std::uint64_t length = in.number(2);
  const std::uint64_t cookie = in.number(4);
  const bool stun = type < 0x4000 && cookie == 0x2112a442 && length % 4 == 0 &&
                    bytes.size() >= 20 && length + 20 <= bytes.size();
  return stun ? yes(Protocol::stun) : kNo;
}

/// RFC 9147, 4; RFC 6347, 4.1.
Finding sniff_dtls(std::span<const std::byte> bytes) {
  Reader in(bytes);
  const std::uint8_t type = in.byte();
  const std::uint64_t version = in.number(2);
  in.take(8);  // epoch and sequence
  const std::uint64_t length = in.number(2);
  const bool dtls = type >= 20 && type <= 26 && (version == 0xfeff || version == 0xfefd) &&
                    !in.is_short() && length <= in.left() && length > 0;
  return dtls ? yes(Protocol::dtls) : kNo;
}

/// A client's question (RFC 5905, 7.3).
Finding sniff_ntp(std::span<const std::byte> bytes) {
  Reader in(bytes);
  const std::uint8_t first = in.byte();
  const std::uint8_t stratum = in.byte();
  const unsigned version = first >> 3 & 7;
  const unsigned mode = first & 7;
  const bool ntp = bytes.size() >= 48 && bytes.size() % 4 == 0 && bytes.size() <= 128 &&
                   version >= 3 && version <= 4 && mode == 3 && stratum <= 16;
  return ntp ? yes(Protocol::ntp) : kNo;
}

/// uTP (BEP 29), a tracker (BEP 15), or a question in the DHT (BEP 5).
Finding sniff_bittorrent_datagram(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  if (text.starts_with("d1:") && text.ends_with("e") &&
      text.find("1:y1:") != std::string_view::npos) {
    return yes(Protocol::bittorrent);
  }
  Reader tracker(bytes);
  if (bytes.size() == 16 && tracker.number(8) == 0x41727101980 && tracker.number(4) == 0) {
    return yes(Protocol::bittorrent);
  }
  // A connection of uTP begins with 20 bytes, type 4, version 1, and perhaps extensions.
  Reader in(bytes);
  if (bytes.size() < 20 || in.byte() != 0x41) return kNo;
  std::uint8_t extension = in.byte();
  in.take(18);
  for (int i = 0; extension != 0 && i < 4; ++i) {
    if (extension > 4) return kNo;
    extension = in.byte();
    in.take(in.byte());
    if (in.is_short()) return kNo;
  }
  return in.left() == 0 ? yes(Protocol::bittorrent) : kNo;
}

}  // namespace

std::string_view name(Protocol protocol) {
  return protocol == Protocol::count_ ? "" : kNames[static_cast<std::size_t>(protocol)];
}

std::optional<Protocol> parse_protocol(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Protocol>(found - kNames.begin());
}

std::string host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > 253 || IpAddr::parse(text)) return "";
  std::string name;
  std::size_t label = 0;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || is_upper(c) || (c >= '0' && c <= '9');
    label = c == '.' ? 0 : label + 1;
    if ((!letter && c != '-' && c != '_' && c != '.') || label > 63) return "";
    if (c == '.' && (name.empty() || name.back() == '.')) return "";
    name += is_upper(c) ? static_cast<char>(c + 32) : c;
  }
  return name.ends_with('.') ? "" : name;
}

Finding sniff_stream(std::span<const std::byte> bytes, Protocols wanted) {
  if (bytes.empty()) return kMore;
  const std::string_view text = text_of(bytes);
  bool more = false;
  const auto ask = [&](Protocol protocol, auto sniffer) -> std::optional<Finding> {
    if (!wanted.has(protocol)) return std::nullopt;
    Finding finding = sniffer();
    more |= finding.verdict == Verdict::more;
    if (finding.verdict != Verdict::yes) return std::nullopt;
    return finding;
  };
  if (auto found = ask(Protocol::tls, [&] { return sniff_tls(bytes); })) return *found;
  if (auto found = ask(Protocol::http, [&] { return sniff_http(text); })) return *found;
  if (auto found =
          ask(Protocol::ssh, [&] { return as_prefix(Protocol::ssh, begins(text, "SSH-")); })) {
    return *found;
  }
  if (auto found = ask(Protocol::bittorrent, [&] {
        return as_prefix(Protocol::bittorrent, begins(text,
                                                      "\x13"
                                                      "BitTorrent protocol"));
      })) {
    return *found;
  }
  if (auto found = ask(Protocol::dns, [&] { return sniff_dns_stream(bytes); })) return *found;
  return more && bytes.size() < kMaxBytes ? kMore : kNo;
}

Finding sniff_datagram(std::span<const std::byte> bytes, Protocols wanted) {
  using Sniffer = Finding (*)(std::span<const std::byte>);
  constexpr std::array<std::pair<Protocol, Sniffer>, 5> kSniffers{{
      {Protocol::stun, sniff_stun},
      {Protocol::dns, read_dns},
      {Protocol::dtls, sniff_dtls},
      {Protocol::bittorrent, sniff_bittorrent_datagram},
      {Protocol::ntp, sniff_ntp},
  }};
  for (const auto& [protocol, sniffer] : kSniffers) {
    if (!wanted.has(protocol)) continue;
    Finding finding = sniffer(bytes);
    if (finding.verdict == Verdict::yes) return finding;
  }
  return kNo;
}

}  // namespace hairpin::sniff
