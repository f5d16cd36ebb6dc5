#include "platform/device/interrupt.h"

#include "platform/device/event.h"

namespace hairpin::device {

Result<Interrupt> Interrupt::create() {
  auto fd = Event::open();
  if (!fd) return fd.error();
  return Interrupt(std::make_unique<Event>(std::move(*fd)));
}

Interrupt::Interrupt(std::unique_ptr<Event> event) : event_(std::move(event)) {}
Interrupt::Interrupt(Interrupt&&) noexcept = default;
Interrupt& Interrupt::operator=(Interrupt&&) noexcept = default;
Interrupt::~Interrupt() = default;

void Interrupt::trigger() {
  event_->set();
}

void Interrupt::reset() {
  event_->clear();
}

bool Interrupt::triggered() const {
  return event_->is_set();
}

}  // namespace hairpin::device
