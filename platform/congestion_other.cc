#include "platform/congestion.h"

namespace hairpin::platform {

Congestion Congestion::of_system() {
  return {};
}

void Congestion::begin(int /*socket*/) const {}
void Congestion::settle(int /*socket*/) const {}

}  // namespace hairpin::platform
