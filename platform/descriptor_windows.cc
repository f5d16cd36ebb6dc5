#include "platform/descriptor_windows.h"

#include <boost/asio/windows/basic_random_access_handle.hpp>

#include "base/fd.h"
#include "platform/winsock_windows.h"

namespace hairpin {

namespace platform::afd {

namespace {

constexpr ULONG kIoctlPoll = 0x00012024;  // IOCTL_AFD_POLL
// AFD_POLL_…
constexpr ULONG kReceive = 0x0001;
constexpr ULONG kSend = 0x0004;
constexpr ULONG kDisconnect = 0x0008;
constexpr ULONG kAbort = 0x0010;
constexpr ULONG kAccept = 0x0080;
constexpr ULONG kConnectFailed = 0x0100;

constexpr NTSTATUS kPending = 0x103;  // STATUS_PENDING
constexpr long kSocketsOfDevice = 32;

ULONG events_of(Wait::wait_type what) {
  switch (what) {
    case Wait::wait_read:
      return kReceive | kDisconnect | kAccept | kAbort;
    case Wait::wait_write:
      return kSend | kConnectFailed | kAbort;
    case Wait::wait_error:
      break;
  }
  return kConnectFailed | kAbort;
}

boost::system::error_code from_status(NTSTATUS status) {
  return {static_cast<int>(::RtlNtStatusToDosError(status)), boost::system::system_category()};
}

NTSTATUS open_driver(HANDLE& handle) {
  // Any name behind the driver's does; it shows who has opened it.
  wchar_t path[] = L"\\Device\\Afd\\hairpin";
  UNICODE_STRING name{sizeof path - sizeof(wchar_t), sizeof path, path};
  OBJECT_ATTRIBUTES attributes{};
  attributes.Length = sizeof attributes;
  attributes.ObjectName = &name;
  IO_STATUS_BLOCK status;
  return ::NtCreateFile(&handle, SYNCHRONIZE, &attributes, &status, nullptr, 0,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, nullptr, 0);
}

/// Below the layers that a security product may have put over a socket.
HANDLE base_of(int socket) {
  auto base = static_cast<SOCKET>(socket);
  DWORD size = 0;
  SOCKET found = 0;
  constexpr DWORD kBaseHandle = 0x48000022;  // SIO_BASE_HANDLE
  if (::WSAIoctl(base, kBaseHandle, nullptr, 0, &found, sizeof found, &size, nullptr, nullptr) ==
      0) {
    base = found;
  }
  return reinterpret_cast<HANDLE>(base);
}

}  // namespace

class Device {
 public:
  explicit Device(asio::io_context& context) : handle_(context.get_executor()) {}

  void open(boost::system::error_code& ec) {
    HANDLE raw = nullptr;
    const NTSTATUS status = open_driver(raw);
    if (status != 0) {
      ec = from_status(status);
      return;
    }
    handle_.assign(raw, ec);
    if (ec) ::CloseHandle(raw);
  }
  HANDLE handle() { return handle_.native_handle(); }
  /// Ends all that has been begun on it.
  void close() {
    boost::system::error_code ignored;
    handle_.close(ignored);
  }

 private:
  asio::windows::basic_random_access_handle<Executor> handle_;
};

namespace {

/// The handles of one context.
class Devices : public asio::execution_context::service {
 public:
  static asio::execution_context::id id;
  using key_type = Devices;

  explicit Devices(asio::execution_context& context)
      : service(context), context_(static_cast<asio::io_context&>(context)) {
    start_winsock();
  }

  std::shared_ptr<Device> take(boost::system::error_code& ec) {
    if (last_ && last_.use_count() <= kSocketsOfDevice) return last_;
    auto fresh = std::make_shared<Device>(context_);
    fresh->open(ec);
    if (ec) return nullptr;
    std::erase_if(all_, [](const auto& one) { return one.expired(); });
    all_.push_back(fresh);
    last_ = std::move(fresh);
    return last_;
  }

 private:
  /// The context waits for all operations to end before it goes.
  void shutdown() override {
    for (const auto& one : all_) {
      if (const auto device = one.lock()) device->close();
    }
    last_.reset();
  }

  asio::io_context& context_;
  std::shared_ptr<Device> last_;
  std::vector<std::weak_ptr<Device>> all_;
};

asio::execution_context::id Devices::id;

}  // namespace

std::shared_ptr<Device> device_of(asio::io_context& context, boost::system::error_code& ec) {
  return asio::use_service<Devices>(context).take(ec);
}

bool begin(State& state, Pending& pending, Wait::wait_type what, boost::system::error_code& ec) {
  Poll& poll = pending.poll;
  poll.timeout.QuadPart = INT64_MAX;
  poll.handles = 1;
  poll.exclusive = 0;
  poll.handle = base_of(state.socket);
  poll.events = events_of(what);
  poll.status = 0;
  OVERLAPPED* operation = pending.operation;
  // An OVERLAPPED begins with an IO_STATUS_BLOCK.
  auto* outcome = reinterpret_cast<IO_STATUS_BLOCK*>(operation);
  const NTSTATUS status =
      ::NtDeviceIoControlFile(state.device->handle(), nullptr, nullptr, operation, outcome,
                              kIoctlPoll, &poll, sizeof poll, &poll, sizeof poll);
  if (status == 0 || status == kPending) return true;
  ec = from_status(status);
  return false;
}

bool is_abort(const Pending& pending) {
  return pending.poll.handles != 0 && (pending.poll.events & (kAbort | kConnectFailed)) != 0;
}

void State::cancel_all() {
  for (const auto& one : pending) {
    one->cancelled = true;
    // Not found: it has just ended, and its completion is on its way.
    (void)::CancelIoEx(device->handle(), one->operation);
  }
}

}  // namespace platform::afd

void Descriptor::assign(int socket, boost::system::error_code& ec) {
  auto device = platform::afd::device_of(executor_.context(), ec);
  if (ec) return;
  state_ = std::make_shared<platform::afd::State>();
  state_->device = std::move(device);
  state_->socket = socket;
}

void Descriptor::assign(int socket) {
  boost::system::error_code ec;
  assign(socket, ec);
  if (ec) throw boost::system::system_error(ec, "assign");
}

int Descriptor::release() {
  if (!state_) return -1;
  state_->cancel_all();
  const int socket = state_->socket;
  state_.reset();
  return socket;
}

void Descriptor::cancel(boost::system::error_code& ec) {
  ec = {};
  if (state_) state_->cancel_all();
}

void Descriptor::close(boost::system::error_code& ec) {
  ec = {};
  if (!state_) return;
  state_->cancel_all();
  close_descriptor(state_->socket);
  state_.reset();
}

}  // namespace hairpin
