#include "config/parse.h"

namespace hairpin::config {

/// No other one is there.
StackKind default_stack() {
  return StackKind::userspace;
}

bool marks_sockets() {
  return false;
}

}  // namespace hairpin::config
