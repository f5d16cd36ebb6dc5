// Initial packets of QUIC's, written with the keys that RFC 9001 (A.1) and RFC 9369 (A.1) print for
// the connection id 0x8394c8f03e515708: nothing of the reader's own derivation is used.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hairpin::test {

using Bytes = std::vector<std::uint8_t>;

inline Bytes hex(std::string_view text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(
        static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

inline std::string text(const Bytes& bytes) {
  std::string all;
  for (const std::uint8_t byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    all += kDigits[byte >> 4];
    all += kDigits[byte & 15];
  }
  return all;
}

struct QuicKeys {
  const char* version;
  std::uint8_t first;  ///< Of the header, with a number of four bytes.
  Bytes key, iv, header;
};
inline const QuicKeys kVersion1{"00000001", 0xc3, hex("1f369613dd76d5467730efcbe3b1a22d"),
                                hex("fa044b2f42a3fd3b46fb255c"),
                                hex("9f50449e04a0e810283a1e9933adedd2")};
inline const QuicKeys kVersion2{"6b3343cf", 0xd3, hex("8b1a0bc121284290a29e0971b5cd045d"),
                                hex("91f73e2351d8fa91660e909f"),
                                hex("45b95e15235d6f45a6b19cbcb0294ba9")};

/// The hello of RFC 9001, A.2, for example.com.
inline const Bytes kHello = hex(
    "010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000041301130201"
    "0000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
    "04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f"
    "1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00"
    "024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8"
    "f03e51570806048000ffff");

inline Bytes sealed(const QuicKeys& keys, std::uint32_t number, const Bytes& payload) {
  Bytes header{keys.first};
  const auto append = [&header](const Bytes& more) {
    header.insert(header.end(), more.begin(), more.end());
  };
  append(hex(keys.version));
  append(hex("088394c8f03e5157080000"));
  const std::size_t length = 4 + payload.size() + 16;
  header.push_back(static_cast<std::uint8_t>(0x40 | length >> 8));
  header.push_back(static_cast<std::uint8_t>(length & 0xff));
  const std::size_t number_at = header.size();
  Bytes nonce = keys.iv;
  for (int i = 3; i >= 0; --i) {
    const auto byte = static_cast<std::uint8_t>(number >> (8 * i));
    header.push_back(byte);
    nonce[static_cast<std::size_t>(11 - i)] =
        static_cast<std::uint8_t>(nonce[static_cast<std::size_t>(11 - i)] ^ byte);
  }
  Bytes packet = header;
  packet.resize(header.size() + payload.size() + 16);
  EVP_CIPHER_CTX* gcm = EVP_CIPHER_CTX_new();
  int size = 0;
  EVP_EncryptInit_ex(gcm, EVP_aes_128_gcm(), nullptr, keys.key.data(), nonce.data());
  EVP_EncryptUpdate(gcm, nullptr, &size, header.data(), static_cast<int>(header.size()));
  EVP_EncryptUpdate(gcm, packet.data() + header.size(), &size, payload.data(),
                    static_cast<int>(payload.size()));
  EVP_EncryptFinal_ex(gcm, nullptr, &size);
  EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_GCM_GET_TAG, 16, packet.data() + packet.size() - 16);
  EVP_CIPHER_CTX_free(gcm);
  EVP_CIPHER_CTX* ecb = EVP_CIPHER_CTX_new();
  Bytes mask(32);
  EVP_EncryptInit_ex(ecb, EVP_aes_128_ecb(), nullptr, keys.header.data(), nullptr);
  EVP_EncryptUpdate(ecb, mask.data(), &size, packet.data() + number_at + 4, 16);
  EVP_CIPHER_CTX_free(ecb);
  packet[0] = static_cast<std::uint8_t>(packet[0] ^ (mask[0] & 0x0f));
  for (std::size_t i = 0; i < 4; ++i)
    packet[number_at + i] = static_cast<std::uint8_t>(packet[number_at + i] ^ mask[1 + i]);
  return packet;
}

inline Bytes crypto(std::size_t offset, std::size_t size) {
  Bytes frame{6, static_cast<std::uint8_t>(0x40 | offset >> 8), static_cast<std::uint8_t>(offset),
              static_cast<std::uint8_t>(0x40 | size >> 8), static_cast<std::uint8_t>(size)};
  frame.insert(frame.end(), kHello.begin() + static_cast<std::ptrdiff_t>(offset),
               kHello.begin() + static_cast<std::ptrdiff_t>(offset + size));
  return frame;
}

}  // namespace hairpin::test
