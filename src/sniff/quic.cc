#include "sniff/quic.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "sniff/client_hello.h"
#include "sniff/reader.h"

namespace hairpin::sniff {

namespace {

constexpr std::uint32_t kVersion1 = 0x00000001;
constexpr std::uint32_t kVersion2 = 0x6b3343cf;
constexpr std::size_t kMaxId = 20;
constexpr std::size_t kTag = 16;
/// A hello that is spread over more is none.
constexpr unsigned kMaxDatagrams = 16;
constexpr std::size_t kMaxPieces = 256;

using Bytes = std::vector<std::uint8_t>;

const std::uint8_t* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

struct Version {
  std::uint32_t number;
  unsigned initial;  ///< Type of the long header.
  std::array<std::uint8_t, 20> salt;
  const char* key;
  const char* iv;
  const char* header;
};
constexpr std::array<Version, 2> kVersions{{
    {kVersion1,
     0,
     {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
      0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
     "tls13 quic key",
     "tls13 quic iv",
     "tls13 quic hp"},
    {kVersion2,
     1,
     {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
      0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
     "tls13 quicv2 key",
     "tls13 quicv2 iv",
     "tls13 quicv2 hp"},
}};

const Version* find_version(std::uint64_t number) {
  const auto* found = std::ranges::find(kVersions, number, &Version::number);
  return found == kVersions.end() ? nullptr : found;
}

/// HKDF with SHA-256 (RFC 5869). Empty on failure.
Bytes hkdf(int mode, std::span<const std::uint8_t> key, std::span<const std::uint8_t> extra,
           std::size_t size) {
  static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
      kdf == nullptr ? nullptr : EVP_KDF_CTX_new(kdf), &EVP_KDF_CTX_free);
  if (!context) return {};
  std::array<char, 7> digest{"SHA256"};
  const char* what =
      mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? OSSL_KDF_PARAM_SALT : OSSL_KDF_PARAM_INFO;
  const std::array<OSSL_PARAM, 5> parameters{
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<std::uint8_t*>(key.data()),
                                        key.size()),
      OSSL_PARAM_construct_octet_string(what, const_cast<std::uint8_t*>(extra.data()),
                                        extra.size()),
      OSSL_PARAM_construct_end()};
  Bytes out(size);
  if (EVP_KDF_derive(context.get(), out.data(), out.size(), parameters.data()) != 1) return {};
  return out;
}

/// HKDF-Expand-Label of TLS 1.3 (RFC 8446, 7.1), without a context.
Bytes expand(std::span<const std::uint8_t> secret, std::string_view label, std::size_t size) {
  Bytes info{0, static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(label.size())};
  info.insert(info.end(), label.begin(), label.end());
  info.push_back(0);
  return hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, secret, info, size);
}

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Cipher new_cipher() {
  return {EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free};
}

/// One block of AES-128: the mask of a header (RFC 9001, 5.4.3).
std::optional<std::array<std::uint8_t, 16>> encrypt_block(const Bytes& key,
                                                          std::span<const std::byte> sample) {
  const Cipher cipher = new_cipher();
  std::array<std::uint8_t, 32> out{};
  int size = 0;
  if (!cipher ||
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_128_ecb(), nullptr, key.data(), nullptr) != 1 ||
      EVP_EncryptUpdate(cipher.get(), out.data(), &size, raw(sample), 16) != 1 || size < 16) {
    return std::nullopt;
  }
  std::array<std::uint8_t, 16> block{};
  std::copy_n(out.begin(), block.size(), block.begin());
  return block;
}

/// Empty when it was not encrypted with this key.
std::optional<std::vector<std::byte>> decrypt(const Bytes& key, const Bytes& nonce,
                                              std::span<const std::uint8_t> header,
                                              std::span<const std::byte> sealed) {
  const Cipher cipher = new_cipher();
  const auto body = sealed.first(sealed.size() - kTag);
  std::array<std::uint8_t, kTag> tag{};
  std::copy_n(raw(sealed.last(kTag)), kTag, tag.begin());
  std::vector<std::byte> plain(body.size());
  int size = 0;
  const bool done =
      cipher &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_128_gcm(), nullptr, key.data(), nonce.data()) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, header.data(),
                        static_cast<int>(header.size())) == 1 &&
      EVP_DecryptUpdate(cipher.get(), reinterpret_cast<std::uint8_t*>(plain.data()), &size,
                        raw(body), static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTag, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), reinterpret_cast<std::uint8_t*>(plain.data()), &size) == 1;
  if (!done) return std::nullopt;
  return plain;
}

/// The long header up to the packet number (RFC 9000, 17.2.2).
struct Header {
  const Version* version = nullptr;  ///< Null: this is no Initial that can be read.
  bool other = false;                ///< A packet of another type: to be stepped over.
  std::span<const std::byte> id;
  std::size_t number_at = 0;
  std::size_t end = 0;  ///< Of the packet.
};

Header read_header(std::span<const std::byte> datagram) {
  Reader in(datagram);
  Header header;
  const std::uint8_t first = in.byte();
  const std::uint64_t number = in.number(4);
  const std::uint64_t id_size = in.byte();
  const auto id = in.take(id_size);
  const std::uint64_t source_size = in.byte();
  in.take(source_size);
  const Version* version = find_version(number);
  if (in.is_short() || (first & 0xc0) != 0xc0 || version == nullptr || id_size > kMaxId ||
      source_size > kMaxId) {
    return header;
  }
  const unsigned type = first >> 4 & 3;
  const unsigned retry = (version->initial + 3) % 4;
  if (type == retry) return header;
  header.other = type != version->initial;
  if (!header.other) in.take(in.varint());  // token
  const std::uint64_t length = in.varint();
  header.number_at = datagram.size() - in.left();
  if (in.is_short() || length > in.left() || length < 4 + kTag) return header;
  header.version = version;
  header.id = id;
  header.end = header.number_at + static_cast<std::size_t>(length);
  return header;
}

}  // namespace

struct Quic::Keys {
  Bytes key;
  Bytes iv;
  Bytes header;

  static Keys of(const Version& version, std::span<const std::byte> id) {
    const Bytes initial =
        hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, {raw(id), id.size()}, version.salt, 32);
    const Bytes client = expand(initial, "tls13 client in", 32);
    return {expand(client, version.key, 16), expand(client, version.iv, 12),
            expand(client, version.header, 16)};
  }
  bool complete() const { return key.size() == 16 && iv.size() == 12 && header.size() == 16; }
};

bool is_quic_initial(std::span<const std::byte> datagram) {
  const Header header = read_header(datagram);
  return header.version != nullptr && !header.other;
}

Finding Quic::feed(std::span<const std::byte> datagram) {
  Finding finding{Verdict::more, Protocol::quic, ""};
  if (++datagrams_ > kMaxDatagrams) return {};
  // Several packets may share a datagram.
  for (std::size_t packets = 0; !datagram.empty() && packets < 8; ++packets) {
    const Header header = read_header(datagram);
    if (header.version == nullptr) break;  // padding, or a packet with a short header
    const auto packet = datagram.first(header.end);
    datagram = datagram.subspan(header.end);
    if (header.other) continue;
    if (id_.empty()) {
      id_.assign(header.id.begin(), header.id.end());
      version_ = header.version->number;
    }
    const Keys keys = Keys::of(*find_version(version_), id_);
    if (!keys.complete()) return {};
    const Verdict verdict = read_packet(packet, header.number_at, keys);
    if (verdict == Verdict::no) return {};
  }
  if (version_ == 0) return {};
  // What lies unbroken from the beginning.
  std::vector<std::byte> hello;
  for (const auto& [offset, bytes] : pieces_) {
    if (offset > hello.size()) break;
    const std::size_t known = hello.size() - static_cast<std::size_t>(offset);
    if (known < bytes.size()) {
      hello.insert(hello.end(), bytes.begin() + static_cast<std::ptrdiff_t>(known), bytes.end());
    }
  }
  Hello read = read_hello(hello);
  if (read.verdict == Verdict::no) return {};
  finding.verdict = read.verdict;
  finding.domain = std::move(read.domain);
  return finding;
}

Verdict Quic::read_packet(std::span<const std::byte> packet, std::size_t number_at,
                          const Keys& keys) {
  // The number's size is hidden; the sample is where it would end if it had four bytes.
  const auto mask = encrypt_block(keys.header, packet.subspan(number_at + 4, 16));
  if (!mask) return Verdict::no;
  Bytes header(raw(packet), raw(packet) + number_at + 4);
  header[0] = static_cast<std::uint8_t>(header[0] ^ ((*mask)[0] & 0x0f));
  const std::size_t size = (header[0] & 3U) + 1;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    header[number_at + i] = static_cast<std::uint8_t>(header[number_at + i] ^ (*mask)[1 + i]);
    number = number << 8 | header[number_at + i];
  }
  header.resize(number_at + size);
  Bytes nonce = keys.iv;
  for (std::size_t i = 0; i < 4; ++i) {
    nonce[11 - i] = static_cast<std::uint8_t>(nonce[11 - i] ^ (number >> (8 * i)));
  }
  const auto plain = decrypt(keys.key, nonce, header, packet.subspan(number_at + size));
  // Whatever else has that form is no QUIC, or belongs to another connection.
  if (!plain) return Verdict::no;
  return read_frames(*plain);
}

Verdict Quic::read_frames(std::span<const std::byte> payload) {
  Reader in(payload);
  while (in.left() > 0) {
    const std::uint64_t type = in.varint();
    if (type == 0 || type == 1) continue;  // padding, ping
    if (type == 2 || type == 3) {          // acknowledgement (RFC 9000, 19.3)
      in.varint();
      in.varint();
      const std::uint64_t ranges = in.varint();
      in.varint();
      for (std::uint64_t i = 0; i < 2 * ranges && !in.is_short(); ++i) in.varint();
      for (int i = 0; type == 3 && i < 3; ++i) in.varint();
    } else if (type == 6) {  // crypto
      const std::uint64_t offset = in.varint();
      const auto bytes = in.take(in.varint());
      if (in.is_short() || !keep(offset, bytes)) return Verdict::no;
    } else {
      return Verdict::no;  // nothing else belongs into a client's Initial but a farewell
    }
    if (in.is_short()) return Verdict::no;
  }
  return Verdict::more;
}

bool Quic::keep(std::uint64_t offset, std::span<const std::byte> bytes) {
  kept_ += bytes.size();
  if (kept_ > kMaxBytes || offset > kMaxBytes || pieces_.size() >= kMaxPieces) return false;
  std::vector<std::byte>& piece = pieces_[offset];
  if (piece.size() < bytes.size()) piece.assign(bytes.begin(), bytes.end());
  return true;
}

}  // namespace hairpin::sniff
