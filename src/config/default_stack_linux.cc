#include "config/parse.h"

namespace hairpin::config {

StackKind default_stack() {
  return StackKind::system;
}

}  // namespace hairpin::config
