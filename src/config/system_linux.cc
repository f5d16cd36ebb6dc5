#include "config/parse.h"

namespace hairpin::config {

StackKind default_stack() {
  return StackKind::system;
}

bool marks_sockets() {
  return true;
}

}  // namespace hairpin::config
