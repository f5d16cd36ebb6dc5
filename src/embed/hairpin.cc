#include "embed/hairpin.h"

#include <openssl/ssl.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "app/engine.h"
#include "app/rule_files.h"
#include "app/settled.h"
#include "base/log.h"
#include "config/android.h"
#include "config/parse.h"
#include "config/parse_outbounds.h"
#include "config/rule_set.h"
#include "platform/sockets.h"
#include "platform/tun.h"
#include "stack/link.h"

namespace {

using namespace hairpin;  // NOLINT(google-build-using-namespace): this file is its C face

struct Settings {
  hairpin_protect protect = nullptr;
  void* protect_context = nullptr;
  hairpin_log log = nullptr;
  void* log_context = nullptr;
  std::size_t memory = 0;
  unsigned workers = 0;
};

/// One for each process, as the stack in user space is.
class Instance {
 public:
  Instance(config::Config config, std::vector<stack::Link> links, unsigned workers,
           app::Surroundings surroundings)
      : config_(std::move(config)),
        engine_(
            config_, std::move(links), workers, false,
            [] { log::error("the TUN does not exist any more"); }, std::move(surroundings)) {
    files_.follow(config_);
    engine_.start();
    follower_ = std::thread([this] { follow(); });
  }
  ~Instance() { stop(); }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  Result<> change(config::Config next) {
    const std::lock_guard lock(changing_);
    if (auto settled = app::settle(config_, next); !settled) return settled;
    engine_.change(next);
    config_ = std::move(next);
    files_.follow(config_);
    return {};
  }
  /// Once; also done by the destructor.
  void stop() {
    {
      const std::lock_guard lock(changing_);
      if (ending_) return;
      ending_ = true;
    }
    ended_.notify_all();
    follower_.join();
    engine_.stop();
  }
  std::string counters() { return engine_.counters(); }

 private:
  /// Files of rule-sets change, those that are fetched among them.
  void follow() {
    constexpr auto kTick = std::chrono::milliseconds(500);
    std::unique_lock lock(changing_);
    while (!ended_.wait_for(lock, kTick, [this] { return ending_; })) {
      config::Config fresh = config_;
      if (!files_.have_changed() || !files_.read(fresh)) continue;
      engine_.change(fresh);
      config_ = std::move(fresh);
    }
  }

  std::mutex changing_;  ///< For the four below, and for who changes the engine.
  std::condition_variable ended_;
  bool ending_ = false;
  config::Config config_;
  app::RuleFiles files_;
  app::Engine engine_;
  std::thread follower_;
};

std::mutex mutex;
Settings settings;
std::unique_ptr<Instance> instance;
thread_local std::string complaint;

int fail(int code, std::string what) {
  complaint = std::move(what);
  return code;
}

/// What is meant for hosts that hairpin may set up.
std::optional<std::string> not_for_us(const config::Config& config) {
  if (config.inbounds.size() != 1) return "inbounds: there has to be one, of type \"tun\"";
  if (config.inbounds.front().auto_route.enabled) {
    return "inbounds[0].auto_route: the TUN's routes are its maker's business; leave it out";
  }
  if (config.route.auto_detect_interface) {
    return "route.auto_detect_interface: which network is used is the program's business; leave it "
           "out, and use hairpin_set_protect() or default_interface";
  }
  return std::nullopt;
}

std::optional<config::Config> read(const char* json) {
  config::Problems problems;
  auto config = config::parse(json == nullptr ? "" : json, problems);
  if (config) {
    config::load_packages(*config, problems);
    config::load_rule_sets(*config, problems);
    config::load_certificates(*config, problems);
  }
  complaint.clear();
  for (const config::Problem& problem : problems) {
    if (!complaint.empty()) complaint += '\n';
    if (!problem.where.empty()) complaint += problem.where + ": ";
    complaint += problem.message;
  }
  if (!config || !problems.empty()) return std::nullopt;
  if (auto wrong = not_for_us(*config)) {
    complaint = std::move(*wrong);
    return std::nullopt;
  }
  config->inbounds.front().stack = config::StackKind::userspace;
  return config;
}

void start_log(const config::Log& wanted) {
  log::Options options{wanted.disabled ? log::Level::off : wanted.level, wanted.output,
                       wanted.timestamp};
  if (settings.log != nullptr) {
    options.sink = [call = settings.log, context = settings.log_context](log::Level level,
                                                                         const std::string& line) {
      call(static_cast<int>(level), line.c_str(), context);
    };
  }
  (void)log::start(options);
}

/// A process that ends without a word ends hairpin first: its threads must not meet what is being
/// destroyed. What is made before this is called is destroyed behind it.
void stop_at_exit() {
  OPENSSL_init_ssl(0, nullptr);
  static const bool registered = std::atexit([] { (void)hairpin_stop(); }) == 0;
  (void)registered;
}

int start(const char* json, int tun_fd) {
  if (instance) return fail(HAIRPIN_ERROR_STATE, "hairpin runs already");
  auto config = read(json);
  if (!config) return HAIRPIN_ERROR_CONFIG;
  start_log(config->log);
  (void)platform::raise_descriptor_limit();
  auto fd = platform::duplicate(tun_fd);
  if (!fd) return fail(HAIRPIN_ERROR_DEVICE, fd.error().text());
  const unsigned workers = settings.workers == 0 ? app::default_workers() : settings.workers;
  stack::LinkOptions options{config->inbounds.front(), workers, Mark{}, fd->get()};
  options.memory_limit = settings.memory;
  auto link = stack::open_link(options);
  if (!link) return fail(HAIRPIN_ERROR_DEVICE, link.error().text());
  (void)fd->release();  // the link's now
  log::info("up: {}, {} workers", stack::describe(*link), workers);
  app::Surroundings surroundings;
  if (settings.protect != nullptr) {
    surroundings.protect = [call = settings.protect, context = settings.protect_context](
                               int socket) { return call(socket, context) == 0; };
  }
  std::vector<stack::Link> links;
  links.push_back(std::move(*link));
  instance = std::make_unique<Instance>(std::move(*config), std::move(links), workers,
                                        std::move(surroundings));
  stop_at_exit();
  return HAIRPIN_OK;
}

int stop() {
  if (!instance) return fail(HAIRPIN_ERROR_STATE, "hairpin does not run");
  const auto ending = std::move(instance);
  ending->stop();
  log::debug("counters: {}", ending->counters());
  return HAIRPIN_OK;
}

int reload(const char* json) {
  if (!instance) return fail(HAIRPIN_ERROR_STATE, "hairpin does not run");
  auto config = read(json);
  if (!config) return HAIRPIN_ERROR_CONFIG;
  if (auto changed = instance->change(std::move(*config)); !changed) {
    return fail(HAIRPIN_ERROR_CONFIG, changed.error().text());
  }
  return HAIRPIN_OK;
}

/// No exception leaves: the caller need not be C++.
template <class Act>
int guarded(Act act) {
  const std::lock_guard lock(mutex);
  complaint.clear();
  try {
    return act();
  } catch (const std::exception& failure) {
    return fail(HAIRPIN_ERROR_SYSTEM, failure.what());
  }
}

}  // namespace

int hairpin_start(const char* config_json, int tun_fd) {
  return guarded([&] { return start(config_json, tun_fd); });
}

int hairpin_stop(void) {
  return guarded(stop);
}

int hairpin_reload(const char* config_json) {
  return guarded([&] { return reload(config_json); });
}

const char* hairpin_error(void) {
  return complaint.c_str();
}

char* hairpin_counters(void) {
  const std::lock_guard lock(mutex);
  return instance ? ::strdup(instance->counters().c_str()) : nullptr;
}

void hairpin_free(char* text) {
  std::free(text);
}

const char* hairpin_version(void) {
  return HAIRPIN_VERSION;
}

void hairpin_set_protect(hairpin_protect protect, void* context) {
  const std::lock_guard lock(mutex);
  settings.protect = protect;
  settings.protect_context = context;
}

void hairpin_set_log(hairpin_log log, void* context) {
  const std::lock_guard lock(mutex);
  settings.log = log;
  settings.log_context = context;
}

void hairpin_set_memory_limit(size_t bytes) {
  const std::lock_guard lock(mutex);
  settings.memory = bytes;
}

void hairpin_set_workers(unsigned workers) {
  const std::lock_guard lock(mutex);
  settings.workers = workers;
}
