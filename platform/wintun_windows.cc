#include "platform/wintun.h"

#include <array>
#include <utility>

#include "platform/adapters_windows.h"
#include "platform/winsock_windows.h"
#include "platform/wintun_functions_windows.h"

namespace hairpin::platform {

namespace {

/// Packets taken before the flows of the worker have a turn.
constexpr int kBatch = 64;
constexpr const char* kFile = "wintun.dll";

std::wstring beside_the_program() {
  std::array<wchar_t, 32768> path{};
  const DWORD size = ::GetModuleFileNameW(nullptr, path.data(), path.size());
  std::wstring text(path.data(), size);
  return text.substr(0, text.find_last_of(L'\\') + 1) + L"wintun.dll";
}

/// Finds one function after the other, and remembers the first that is missing.
class Finder {
 public:
  explicit Finder(HMODULE module) : module_(module) {}

  template <class Function>
  void find(Function& function, const char* name) {
    const FARPROC found = ::GetProcAddress(module_, name);
    if (found == nullptr && missing_.empty()) missing_ = name;
    function = reinterpret_cast<Function>(reinterpret_cast<void*>(found));
  }
  const std::string& missing() const { return missing_; }

 private:
  HMODULE module_;
  std::string missing_;
};

std::string find_all(HMODULE module, WintunLibrary::Functions& functions) {
  Finder finder(module);
  finder.find(functions.create_adapter, "WintunCreateAdapter");
  finder.find(functions.close_adapter, "WintunCloseAdapter");
  finder.find(functions.get_adapter_luid, "WintunGetAdapterLUID");
  finder.find(functions.get_running_driver_version, "WintunGetRunningDriverVersion");
  finder.find(functions.start_session, "WintunStartSession");
  finder.find(functions.end_session, "WintunEndSession");
  finder.find(functions.get_read_wait_event, "WintunGetReadWaitEvent");
  finder.find(functions.receive_packet, "WintunReceivePacket");
  finder.find(functions.release_receive_packet, "WintunReleaseReceivePacket");
  finder.find(functions.allocate_send_packet, "WintunAllocateSendPacket");
  finder.find(functions.send_packet, "WintunSendPacket");
  return finder.missing();
}

/// The same name always gets the same GUID (a hash of it): Windows keeps what it has learned about
/// a network, such as whether it is trusted, by the adapter's GUID.
GUID guid_of(const std::string& name) {
  std::uint64_t high = 14695981039346656037U;  // FNV-1a
  for (const char byte : "hairpin adapter " + name) {
    high = (high ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  }
  const std::uint64_t low = high * 0x9e3779b97f4a7c15U;
  GUID guid{static_cast<unsigned long>(high >> 32),
            static_cast<unsigned short>(high >> 16),
            static_cast<unsigned short>((high & 0x0fff) | 0x4000),  // RFC 9562: version 4
            {}};
  for (std::size_t i = 0; i < 8; ++i) guid.Data4[i] = static_cast<unsigned char>(low >> (8 * i));
  guid.Data4[0] = static_cast<unsigned char>((guid.Data4[0] & 0x3f) | 0x80);
  return guid;
}

}  // namespace

WintunLibrary::WintunLibrary(HMODULE module)
    : module_(module), functions_(std::make_unique<Functions>()) {}

WintunLibrary::~WintunLibrary() {
  ::FreeLibrary(module_);
}

Result<std::shared_ptr<WintunLibrary>> WintunLibrary::load(const std::wstring& path) {
  const std::wstring file = path.empty() ? beside_the_program() : path;
  // What it needs itself is Windows' own.
  const HMODULE module = ::LoadLibraryExW(
      file.c_str(), nullptr, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (module == nullptr) {
    return windows_error("load " + narrow(file.c_str()) +
                         " (it comes from https://www.wintun.net; put the one for this processor "
                         "beside hairpin.exe)");
  }
  std::shared_ptr<WintunLibrary> library(new WintunLibrary(module));
  const std::string missing = find_all(module, *library->functions_);
  if (!missing.empty()) {
    return Error{narrow(file.c_str()) + " has no function " + missing +
                 ": it is no wintun.dll of version 0.14 or later"};
  }
  return library;
}

std::string WintunLibrary::driver_version() const {
  const DWORD version = functions_->get_running_driver_version();
  if (version == 0) return "";
  return std::to_string(version >> 16 & 0xff) + "." + std::to_string(version & 0xff);
}

struct Wintun::State : std::enable_shared_from_this<Wintun::State> {
  State(std::shared_ptr<WintunLibrary> from) : library(std::move(from)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (session != nullptr) library->functions().end_session(session);
    if (adapter != nullptr) library->functions().close_adapter(adapter);
  }

  void wait();
  void receive();

  std::shared_ptr<WintunLibrary> library;
  WintunAdapter adapter = nullptr;
  WintunSession session = nullptr;
  /// The event belongs to the session; this is a duplicate.
  std::optional<asio::windows::basic_object_handle<Executor>> arrived;
  Handler handler;
  std::function<void(const Error&)> failed;
  std::function<void()> turn_ended;
};

Result<Wintun> Wintun::open(std::shared_ptr<WintunLibrary> library, const WintunOptions& options) {
  const WintunLibrary::Functions& functions = library->functions();
  auto state = std::make_shared<State>(library);
  const std::string type = options.description.empty() ? "hairpin" : options.description;
  const GUID guid = guid_of(options.name);
  state->adapter =
      functions.create_adapter(widen(options.name).c_str(), widen(type).c_str(), &guid);
  if (state->adapter == nullptr) {
    return windows_error(std::string(kFile) + ": make the adapter " + options.name);
  }
  state->session = functions.start_session(state->adapter, options.ring);
  if (state->session == nullptr) {
    return windows_error(std::string(kFile) + ": start a session on " + options.name);
  }
  return Wintun(std::move(state));
}

Wintun::Wintun(Wintun&&) noexcept = default;

Wintun& Wintun::operator=(Wintun&& other) noexcept {
  stop();
  state_ = std::move(other.state_);
  return *this;
}

Wintun::~Wintun() {
  stop();
}

std::uint64_t Wintun::luid() const {
  NET_LUID luid{};
  state_->library->functions().get_adapter_luid(state_->adapter, &luid);
  return luid.Value;
}

void Wintun::start(const Executor& executor, Handler packet,
                   std::function<void(const Error&)> failed, std::function<void()> turn_ended) {
  state_->handler = std::move(packet);
  state_->turn_ended = std::move(turn_ended);
  state_->failed = std::move(failed);
  HANDLE event = nullptr;
  const HANDLE process = ::GetCurrentProcess();
  const HANDLE original = state_->library->functions().get_read_wait_event(state_->session);
  if (!::DuplicateHandle(process, original, process, &event, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
    return state_->failed(windows_error("DuplicateHandle"));
  }
  state_->arrived.emplace(executor, event);
  state_->receive();
}

void Wintun::stop() {
  if (!state_ || !state_->arrived) return;
  boost::system::error_code ignored;
  state_->arrived->close(ignored);
  state_->arrived.reset();
}

void Wintun::State::wait() {
  arrived->async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
    if (!ec && self->arrived) self->receive();
  });
}

void Wintun::State::receive() {
  const WintunLibrary::Functions& functions = library->functions();
  for (int i = 0; i < kBatch; ++i) {
    DWORD size = 0;
    BYTE* packet = functions.receive_packet(session, &size);
    if (packet == nullptr) {
      const DWORD code = ::GetLastError();
      turn_ended();
      if (!arrived) return;  // stopped there
      if (code == ERROR_NO_MORE_ITEMS) return wait();
      // ERROR_HANDLE_EOF: the adapter has been removed. ERROR_INVALID_DATA: the ring is broken.
      return failed(Error{"WintunReceivePacket (Windows error " + std::to_string(code) + ")",
                          code == ERROR_HANDLE_EOF ? ENODEV : EIO});
    }
    handler({reinterpret_cast<std::byte*>(packet), size});
    functions.release_receive_packet(session, packet);
    if (!arrived) return;  // stopped by the handler
  }
  turn_ended();
  if (!arrived) return;
  asio::post(arrived->get_executor(), [self = shared_from_this()] {
    if (self->arrived) self->receive();
  });
}

Result<std::span<std::byte>> Wintun::allocate(std::size_t size) {
  BYTE* room =
      state_->library->functions().allocate_send_packet(state_->session, static_cast<DWORD>(size));
  if (room != nullptr) return std::span(reinterpret_cast<std::byte*>(room), size);
  const DWORD code = ::GetLastError();
  if (code == ERROR_BUFFER_OVERFLOW) return Error{"WintunAllocateSendPacket", ENOBUFS};
  return Error{"WintunAllocateSendPacket (Windows error " + std::to_string(code) + ")",
               code == ERROR_HANDLE_EOF ? ENODEV : EIO};
}

void Wintun::send(std::span<std::byte> packet) {
  state_->library->functions().send_packet(state_->session,
                                           reinterpret_cast<const BYTE*>(packet.data()));
}

}  // namespace hairpin::platform
