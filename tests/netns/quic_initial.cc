// Prints the first datagrams of a QUIC connection to example.com, in hexadecimal digits, a line
// each: quic_initial COUNT. The hello is cut into as many pieces, and the last comes first.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "support/quic.h"

using namespace hairpin::test;  // NOLINT(google-build-using-namespace)

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1;
  const std::size_t size = (kHello.size() + count - 1) / count;
  for (std::size_t i = count; i-- > 0;) {
    Bytes payload = crypto(i * size, std::min(size, kHello.size() - i * size));
    payload.resize(1162);
    std::puts(text(sealed(kVersion1, static_cast<std::uint32_t>(i), payload)).c_str());
  }
}
