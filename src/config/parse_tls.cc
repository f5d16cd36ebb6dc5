#include "config/parse_tls.h"

#include <openssl/pem.h>

#include <array>
#include <memory>

#include "config/kinds.h"
#include "config/rule_set.h"

namespace hairpin::config {

namespace {

constexpr std::string_view kVersions = "\"1.2\" or \"1.3\"";
/// Bytes, with the length in front: what one protocol may take (RFC 7301, 3.1).
constexpr std::size_t kMaxProtocol = 255;

template <auto Member>
void read_version(const Reader& reader, Tls& out) {
  if (reader.value() == "1.2") {
    out.*Member = TlsVersion::v1_2;
  } else if (reader.value() == "1.3") {
    out.*Member = TlsVersion::v1_3;
  } else {
    reader.expected(kVersions);
  }
}

/// Certificates in PEM; none when the text is malformed.
std::size_t count_certificates(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  std::size_t count = 0;
  while (X509* certificate = PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr)) {
    X509_free(certificate);
    ++count;
  }
  return count;
}

/// A list is the lines of a text, or several texts: both become one text.
void read_certificate(const Reader& reader, Tls& out) {
  const std::size_t before = reader.problems().size();
  std::vector<std::string> parts;
  read(reader, parts);
  for (const std::string& part : parts) out.certificate += part + "\n";
  if (reader.problems().size() == before && count_certificates(out.certificate) == 0) {
    reader.expected("certificates in PEM (\"-----BEGIN CERTIFICATE-----\")");
  }
}

constexpr std::array<Field<Tls>, 9> kTlsFields{{
    {"enabled", kBool, into<&Tls::enabled>},
    {"server_name", "a name or an address", into<&Tls::server_name>},
    {"insecure", kBool, into<&Tls::insecure>},
    {"disable_sni", kBool, into<&Tls::disable_sni>},
    {"alpn", "a protocol or a list of them",
     [](const Reader& reader, Tls& out) {
       read(reader, out.alpn);
       for (const std::string& protocol : out.alpn) {
         if (protocol.empty() || protocol.size() > kMaxProtocol) {
           reader.complain("a protocol has 1 to 255 bytes");
         }
       }
     }},
    {"min_version", kVersions, read_version<&Tls::min_version>},
    {"max_version", kVersions, read_version<&Tls::max_version>},
    {"certificate", "certificates in PEM", read_certificate},
    {"certificate_path", "the path of a file", into<&Tls::certificate_path>},
}};

}  // namespace

void read(const Reader& reader, Tls& out) {
  read_object<Tls>(reader, kTlsFields, out);
  if (out.min_version > out.max_version) {
    reader.complain("\"min_version\" is above \"max_version\"");
  }
  if (!out.certificate.empty() && !out.certificate_path.empty()) {
    reader.complain("\"certificate\" and \"certificate_path\" exclude each other");
  }
  if (out.insecure && (!out.certificate.empty() || !out.certificate_path.empty())) {
    reader.complain("\"insecure\" trusts everybody: it excludes certificates");
  }
}

void load_certificates(Tls& tls, const std::string& where, Problems& problems) {
  if (tls.certificate_path.empty()) return;
  const std::string field = where + ".certificate_path";
  if (auto done = read_file(tls.certificate_path, tls.certificate); !done) {
    problems.push_back({field, done.error().text()});
  } else if (count_certificates(tls.certificate) == 0) {
    problems.push_back({field, tls.certificate_path + " has no certificate in PEM"});
  }
}

std::vector<Field<Tls>> tls_fields() {
  return {kTlsFields.begin(), kTlsFields.end()};
}

}  // namespace hairpin::config
