#include "base/fd.h"

namespace hairpin {

void close_descriptor(int fd) {
  ::closesocket(static_cast<SOCKET>(fd));
}

}  // namespace hairpin
