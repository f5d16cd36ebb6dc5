#include <unistd.h>

#include "base/fd.h"

namespace hairpin {

void close_descriptor(int fd) {
  ::close(fd);
}

}  // namespace hairpin
