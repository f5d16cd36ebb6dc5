#include "platform/remover.h"

/// Nothing is added here that would have to be taken away.
namespace hairpin::device {
class Netlink {};
}  // namespace hairpin::device

namespace hairpin::platform {

Remover::Remover(Remover&&) noexcept = default;
Remover& Remover::operator=(Remover&&) noexcept = default;
Remover::~Remover() = default;

}  // namespace hairpin::platform
