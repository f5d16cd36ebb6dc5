#include <system_error>

#include "base/result.h"

namespace hairpin {

std::string errno_text(int code) {
  return std::generic_category().message(code);
}

}  // namespace hairpin
