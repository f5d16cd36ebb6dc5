#include "config/parse.h"

namespace hairpin::config {

/// No other one is there.
StackKind default_stack() {
  return StackKind::userspace;
}

}  // namespace hairpin::config
