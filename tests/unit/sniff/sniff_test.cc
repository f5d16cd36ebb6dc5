// Sniffers of streams and of single datagrams. The ClientHellos are OpenSSL's own.
#include "sniff/sniff.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <random>
#include <vector>

namespace hairpin::sniff {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

Finding stream(std::string_view text) {
  return sniff_stream(bytes(text), Protocols::all());
}
Finding datagram(std::string_view text) {
  return sniff_datagram(bytes(text), Protocols::all());
}

std::string told(const Finding& finding) {
  if (finding.verdict == Verdict::more) return "more";
  if (finding.verdict == Verdict::no) return "no";
  return std::string(name(finding.protocol)) + (finding.domain.empty() ? "" : " " + finding.domain);
}

/// What OpenSSL says first. `extra`: bytes of protocols to offer, to make it long.
std::string client_hello(const char* server, std::size_t extra = 0) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  if (server != nullptr) SSL_set_tlsext_host_name(ssl, server);
  std::string protocols;
  while (protocols.size() < extra) protocols += "\x08longname";
  SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(protocols.data()),
                      static_cast<unsigned>(protocols.size()));
  SSL_connect(ssl);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string hello(data, static_cast<std::size_t>(size));
  SSL_free(ssl);
  SSL_CTX_free(context);
  return hello;
}

/// The same handshake in records of other sizes.
std::string in_records(const std::string& hello, std::size_t size) {
  std::string handshake;
  for (std::size_t at = 0; at < hello.size();) {
    const std::size_t length =
        static_cast<std::uint8_t>(hello[at + 3]) * 256U + static_cast<std::uint8_t>(hello[at + 4]);
    handshake += hello.substr(at + 5, length);
    at += 5 + length;
  }
  std::string records;
  for (std::size_t at = 0; at < handshake.size(); at += size) {
    const std::string part = handshake.substr(at, size);
    records += std::string("\x16\x03\x01", 3) + static_cast<char>(part.size() >> 8) +
               static_cast<char>(part.size() & 0xff) + part;
  }
  return records;
}

TEST(Tls, FindsTheNameHoweverItIsSplit) {
  const std::string hello = client_hello("WWW.Example.com");
  EXPECT_EQ(told(stream(hello)), "tls www.example.com");
  EXPECT_EQ(told(stream(client_hello(nullptr))), "tls");
  for (std::size_t size = 1; size < hello.size(); ++size) {
    const std::string verdict = told(stream(hello.substr(0, size)));
    EXPECT_TRUE(verdict == "more" || verdict == "tls www.example.com") << size << " " << verdict;
  }
  for (const std::size_t size : {1U, 2U, 3U, 7U, 50U, 100U, 16384U}) {
    EXPECT_EQ(told(stream(in_records(hello, size))), "tls www.example.com") << size;
  }
}

TEST(Tls, LongHellos) {
  const std::string hello = client_hello("example.com", 40'000);
  ASSERT_GT(hello.size(), 40'000U);
  EXPECT_EQ(told(stream(hello)), "tls example.com");
  EXPECT_EQ(told(stream(in_records(hello, 1000))), "tls example.com");
  // One that announces 64 KiB and more, and goes on without a name.
  std::string endless("\x16\x03\x01\x40\x00\x01\x01\x00\x00\x03\x03", 11);
  EXPECT_EQ(told(stream(endless)), "more");
  endless[6] = 2;
  EXPECT_EQ(told(stream(endless)), "no");
}

TEST(Tls, NamesThatAreNone) {
  std::string hello = client_hello("abcdefgh.example");
  const std::size_t at = hello.find("abcdefgh");
  for (const char* wrong : {"abc\x01"
                            "efgh",
                            "abc efgh", "abc/efgh", "abc..fgh", ".bcdefgh"}) {
    hello.replace(at, 8, std::string(wrong, 8));
    EXPECT_EQ(told(stream(hello)), "tls") << wrong;
  }
  hello.replace(at, 8, std::string("abc\0efgh", 8));
  EXPECT_EQ(told(stream(hello)), "tls");
  EXPECT_EQ(told(stream(client_hello("192.0.2.1"))), "tls");
}

TEST(Tls, AnyDamageEnds) {
  const std::string hello = client_hello("example.com");
  std::mt19937 random(2);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = hello.substr(0, random() % hello.size() + 1);
    for (int j = 0; j < 3; ++j) damaged[random() % damaged.size()] = static_cast<char>(random());
    (void)stream(damaged);
  }
}

struct Row {
  std::string_view bytes;
  const char* told;
};

TEST(Streams, Table) {
  using std::string_view_literals::operator""sv;
  for (const Row& row : {
           Row{"", "more"},
           {"GET / HTTP/1.1\r\nHost: Example.COM\r\n", "http example.com"},
           {"GET / HTTP/1.1\r\nAccept: */*\r\nhost:\texample.com:8080 \r\n", "http example.com"},
           {"GET / HTTP/1.1\nHost: example.com\n", "http example.com"},
           {"POST /x HTTP/1.0\r\n\r\n", "http"},
           {"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n", "http"},
           {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n", "http"},
           {"GET / HTTP/1.1\r\nHost: a b\r\n", "http"},
           {"GET / HTTP/1.1\r\nHost: a..\r\n", "http"},
           {"GET /\x02 HTTP/1.1\r\nHost: a\r\n", "no"},
           {"GET /\xff HTTP/1.1\r\nHost: a\r\n", "http a"},
           {"GET / HTTP/1.1\r\nHo", "more"},
           {"GET / HTTP/1.1\r\n", "more"},
           {"GE", "more"},
           {"G", "more"},
           {"GET / HTTP/2\r\n", "no"},
           {"GET /\r\n", "no"},
           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http"},
           {"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n", "http example.com"},
           {"EHLO example.com\r\n", "no"},
           {"get / http/1.1\r\n", "no"},
           {"AVERYLONGWORDTHATISNOMETHODATALL", "no"},
           {"SSH-2.0-OpenSSH_9.2\r\n", "ssh"},
           {"SSH", "more"},
           {"SSX_", "no"},
           {"\x13"
            "BitTorrent protocol\0\0\0\0\0\0\0\0"sv,
            "bittorrent"},
           {"\x13"
            "BitTorr",
            "more"},
           {"\x13"
            "BitCoin",
            "no"},
           {"\0\x1d\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07"
            "example\x03"
            "com\0\0\x01\0\x01"sv,
            "dns example.com"},
           {"\0\x1d\x12\x34\x01\0\0\x01\0\0"sv, "more"},
           {"\0\x1d\x12\x34\x81\0\0\x01\0\0"sv, "no"},
           {"\x16\x03\x01\x00\x05\x02"sv, "no"},
           {"\x17\x03\x03", "no"},
           {"\xff\xff\xff\xff", "no"},
       }) {
    EXPECT_EQ(told(stream(row.bytes)), row.told) << row.bytes;
  }
}

TEST(Streams, OnlyWhatIsWanted) {
  Protocols ssh;
  ssh.add(Protocol::ssh);
  EXPECT_EQ(told(sniff_stream(bytes("GET / HTTP/1.1\r\nHost: a\r\n"), ssh)), "no");
  EXPECT_EQ(told(sniff_stream(bytes("SSH-2.0"), ssh)), "ssh");
  EXPECT_EQ(told(sniff_datagram(bytes("SSH-2.0"), ssh)), "no");
}

TEST(Streams, NobodyWaitsForEver) {
  EXPECT_EQ(told(stream("GET " + std::string(kMaxBytes, 'a'))), "no");
  EXPECT_EQ(told(stream("GET / HTTP/1.1\r\n" + std::string(kMaxBytes, 'a'))), "no");
}

TEST(Datagrams, Table) {
  using std::string_view_literals::operator""sv;
  const std::string ntp = std::string("\x23\0\x06\xec", 4) + std::string(44, '\0');
  std::string ntp_answer = ntp;
  ntp_answer[0] = 0x24;
  for (const Row& row : {
           Row{"", "no"},
           {"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07"
            "Example\x03"
            "com\0\0\x01\0\x01"sv,
            "dns example.com"},
           {"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x01"
            "a\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0"sv,
            "dns a"},
           {"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01"sv, "dns"},
           {"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x01"
            "a\0\0\x01\0\x01"sv,
            "no"},
           {"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07"
            "exam"sv,
            "no"},
           {"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01"sv, "no"},
           {"\0\x01\0\0\x21\x12\xa4\x42"
            "123456789012"sv,
            "stun"},
           {"\0\x01\0\x04\x21\x12\xa4\x42"
            "123456789012"sv,
            "no"},
           {"\0\x01\0\0\x21\x12\xa4\x43"
            "123456789012"sv,
            "no"},
           {"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x03"
            "abc"sv,
            "dtls"},
           {"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x04"
            "abc"sv,
            "no"},
           {"\x16\x03\x03\0\0\0\0\0\0\0\0\0\x03"
            "abc"sv,
            "no"},
           {ntp, "ntp"},
           {ntp_answer, "no"},
           {std::string_view(ntp).substr(0, 40), "no"},
           {"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"sv, "bittorrent"},
           {"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x12\x34\x56\x78"sv, "bittorrent"},
           {"\x41\0"
            "123456789012345678"sv,
            "bittorrent"},
           {"\x41\x02"
            "123456789012345678"
            "\0\x08"
            "12345678"sv,
            "bittorrent"},
           {"\x41\x09"
            "123456789012345678"sv,
            "no"},
           {"\x41\0"
            "1234567890123456789"sv,
            "no"},
       }) {
    EXPECT_EQ(told(datagram(row.bytes)), row.told) << row.bytes;
  }
}

TEST(Names, Protocols) {
  for (const std::string_view protocol : kNames) {
    ASSERT_TRUE(parse_protocol(protocol));
    EXPECT_EQ(name(*parse_protocol(protocol)), protocol);
  }
  EXPECT_FALSE(parse_protocol("gopher"));
}

}  // namespace
}  // namespace hairpin::sniff
