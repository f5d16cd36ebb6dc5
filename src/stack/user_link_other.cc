#include "stack/user_link.h"

namespace hairpin::stack {

/// Nothing refuses it here: a loop is found out for each flow (flow/loop_guard.h).
Result<> refuse_own(Link& /*link*/, const LinkOptions& /*options*/) {
  return {};
}

}  // namespace hairpin::stack
