#include "platform/device/readiness.h"

#include <boost/asio/posix/stream_descriptor.hpp>

namespace hairpin::device {

namespace {

namespace asio = boost::asio;

/// A handler as Asio wants it, around one whose type it does not know.
struct Handler {
  using cancellation_slot_type = asio::cancellation_slot;
  cancellation_slot_type get_cancellation_slot() const noexcept { return completion->slot(); }
  void operator()(boost::system::error_code error) const { completion->complete(error); }

  std::unique_ptr<Readiness::Completion> completion;
};

class DescriptorReadiness final : public Readiness {
 public:
  explicit DescriptorReadiness(const asio::any_io_executor& executor) : descriptor_(executor) {}
  DescriptorReadiness(const DescriptorReadiness&) = delete;
  DescriptorReadiness& operator=(const DescriptorReadiness&) = delete;
  ~DescriptorReadiness() override {
    if (descriptor_.is_open()) (void)descriptor_.release();  // the device's
  }

  boost::system::error_code assign(int descriptor) {
    boost::system::error_code error;
    descriptor_.assign(descriptor, error);
    return error;
  }
  void wait(Direction direction, std::unique_ptr<Completion> completion) override {
    const auto kind = direction == Direction::read ? asio::posix::descriptor_base::wait_read
                                                   : asio::posix::descriptor_base::wait_write;
    descriptor_.async_wait(kind, Handler{std::move(completion)});
  }
  void cancel() override {
    boost::system::error_code ignored;
    descriptor_.cancel(ignored);
  }

 private:
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace

Result<std::unique_ptr<Readiness>> Readiness::create(const asio::any_io_executor& executor,
                                                     const Device& device) {
  auto made = std::make_unique<DescriptorReadiness>(executor);
  if (const auto error = made->assign(device.descriptor()); error) {
    return Error{"wait for " + std::to_string(device.descriptor()), error.value()};
  }
  return made;
}

}  // namespace hairpin::device
